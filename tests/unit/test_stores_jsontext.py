"""The one text that a value is stored as: strict, in its order, and read back as it was."""

import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from stores.jsontext import json_bytes, json_value, text_bytes

pytestmark = pytest.mark.unit


class Shape(BaseModel):
    """A model for the test below."""

    price: Decimal
    data: bytes


@dataclasses.dataclass
class Point:
    """A dataclass for the test below."""

    x: int


def test_json_is_compact_and_strict() -> None:
    assert json_bytes(Shape(price=Decimal("1.10"), data=b"ab")) == b'{"price":"1.10","data":"ab"}'
    assert json_bytes({1: Point(2)}) == b'{"1":{"x":2}}'
    assert json_value(json_bytes(2**70)) == 2**70
    for bad in (float("nan"), float("inf"), [{"a": float("nan")}]):
        with pytest.raises(ValueError):
            json_bytes(bad)


def test_keys_keep_their_order() -> None:
    """A model fills in a schema in its order: reasons before a verdict are not those after it."""
    schema = {"properties": {"reasons": {}, "verdict": {}, "confidence": {}}}
    stored = json_value(json_bytes(schema))
    assert isinstance(stored, dict)
    assert list(stored["properties"]) == ["reasons", "verdict", "confidence"]


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_stored(text: str) -> None:
    data = text_bytes(text)
    assert data.decode() == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_any_json_value_comes_back(value: object) -> None:
    assert json_value(json_bytes(value)) == value

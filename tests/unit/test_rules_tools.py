"""What the model gets of results, and which schemas and arguments are taken."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.toolargs import misfits, unsound, without_patterns
from rules.toolresults import NOTHING, clean, cut, for_model, of_binary

pytestmark = pytest.mark.unit

OBJECT: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain\ttext\r\nünï 🙂 你好", "plain\ttext\r\nünï 🙂 你好"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bcharset\x1bM", "charset"),
        ("a\x00b\x07c\x7fd\x9be\x0bf\x0cg", "abcdefg"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("family 👨‍👩‍👧", "family 👨‍👩‍👧"),
    ],
)
def test_clean(text: str, kept: str) -> None:
    assert clean(text) == kept


@given(st.text(alphabet=st.characters(), max_size=400))
def test_a_clean_text_stays_as_it_is_and_can_be_encoded(text: str) -> None:
    once = clean(text)
    once.encode()
    assert "\x1b" not in once
    assert clean(once) == once


@given(st.text(max_size=3_000), st.integers(100, 1_000))
def test_a_cut_text_keeps_both_ends_and_its_bound(text: str, most: int) -> None:
    shown = cut(text, most)
    assert len(shown) <= most + 80
    if len(text) <= most:
        assert shown == text
    else:
        assert shown[: most - most // 4] == text[: most - most // 4]
        assert shown.endswith(text[len(text) - most // 4 :])
        assert f"{len(text) - most:,} of {len(text):,}" in shown


def test_nothing_is_said_to_be_nothing() -> None:
    assert for_model("", 100) == NOTHING
    assert for_model("\x00\n\n", 100) == NOTHING
    assert "image/png, 1,234 bytes" in of_binary("image/png", 1234)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (None, "not of type: object"),
        ([], "not of type: object"),
        ({"type": "array"}, "not of type: object"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "at properties.a.type"),
        ({"type": "object", "required": "a"}, "at required"),
        ({**OBJECT, "description": "x" * 70_000}, "65,536 at most"),
        ({**OBJECT, "allOf": [{"$ref": "http://x.org/s"}]}, "refers to http://x.org/s"),
        ({**OBJECT, "allOf": [{"$ref": "#/$defs/none"}]}, "refers to #/$defs/none"),
        ({**OBJECT, "x": object()}, "no JSON"),
    ],
)
def test_unsound_schemas(schema: Any, said: str) -> None:
    assert said in str(unsound(schema))


def test_a_schema_that_is_too_deep() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(60):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "nested" in str(unsound(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        OBJECT,
        {**OBJECT, "$defs": {"a/b": {"type": "object"}}, "allOf": [{"$ref": "#/$defs/a~1b"}]},
        {"type": "object", "properties": {"t": {"$ref": "#"}}},
    ],
)
def test_sound_schemas(schema: dict[str, Any]) -> None:
    assert unsound(schema) is None
    assert misfits({}, schema) == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": "1"}, "n: '1' is not of type 'integer'"),
        ([], "arguments: [] is not of type 'object'"),
        (None, "arguments: None is not of type 'object'"),
    ],
)
def test_misfits_name_the_place(arguments: Any, said: str) -> None:
    assert misfits(arguments, OBJECT) == (said,)


def test_misfits_are_few_and_short() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    found = misfits({f"k{n}": "x" * 5_000 for n in range(50)}, schema)
    assert len(found) == 8
    assert all(len(each) < 250 for each in found)


def test_a_schema_whose_pattern_is_none_does_not_break_the_call() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}
    (said,) = misfits({"a": "x"}, schema)
    assert said.startswith("a: '(' is no regular expression")


def test_a_strangers_patterns_are_left_out_and_a_property_called_pattern_stays() -> None:
    schema = {
        "type": "object",
        "patternProperties": {"^(a+)+$": {}},
        "properties": {"pattern": {"type": "string", "pattern": "(a+)+$"}},
    }
    assert without_patterns(schema) == {
        "type": "object",
        "properties": {"pattern": {"type": "string"}},
    }

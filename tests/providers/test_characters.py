"""Characters that are cut in half come out whole, or as U+FFFD, and everything else as it is."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import ChatChunk
from providers.characters import Halves, event_json, whole, whole_json

pytestmark = pytest.mark.unit

ANY = st.text(st.characters(codec=None))  # halves among them


def halves_of(text: str) -> list[str]:
    """The text as UTF-16 has it: one piece a code unit."""
    data = text.encode("utf-16-le")
    return [data[n : n + 2].decode("utf-16-le", "surrogatepass") for n in range(0, len(data), 2)]


@given(st.text(max_size=30), st.booleans())
def test_a_text_in_halves_is_the_text_again(text: str, thought: bool) -> None:
    halves = Halves()
    field = "delta_reasoning" if thought else "delta_text"
    chunks = [halves.mend(ChatChunk(**{field: half})) for half in halves_of(text)]
    assert "".join(getattr(chunk, field) or "" for chunk in chunks) == text


@given(st.lists(ANY, max_size=6))
def test_nothing_that_comes_out_has_halves(pieces: list[str]) -> None:
    halves = Halves()
    chunks = [halves.mend(ChatChunk(delta_text=piece, delta_reasoning=piece)) for piece in pieces]
    chunks.append(halves.mend(ChatChunk(finish_reason="stop", vendor_state={"texts": pieces})))
    for chunk in chunks:
        ((chunk.delta_text or "") + (chunk.delta_reasoning or "")).encode()
    assert "".join(chunk.delta_text or "" for chunk in chunks) == whole("".join(pieces))
    orjson.dumps(chunks[-1].vendor_state)


def test_what_is_whole_is_not_touched() -> None:
    halves = Halves()
    chunk = ChatChunk(delta_text="wörld 👋", delta_reasoning="hm", vendor_state={"a": ["👋", 1]})
    assert halves.mend(chunk) is chunk
    value = {"a": [1, {"b": None}], 2: "c"}
    assert whole_json(value) is value


@given(ANY)
def test_a_json_value_is_mended_all_through(text: str) -> None:
    mended = whole_json({text: [text, {"deep": (text)}], "n": 2**70})
    told = whole(text)
    assert mended[told][0] == told
    assert mended["n"] == 2**70


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\ud83d"', "\ud83d"),
        (b"[-Infinity]", [float("-inf")]),
    ],
)
def test_events_of_all_kinds_are_read(data: bytes, value: object) -> None:
    assert event_json(data) == value


@pytest.mark.parametrize("data", [b'{"a": ', b"", b"\xff", b'"\xc3"', b"[" * 5000, b'"\x01"'])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        event_json(data)

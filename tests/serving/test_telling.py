"""What may be told of an answer to who cannot take a word back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.chats import TextPart
from serving.telling import Telling, joined

pytestmark = pytest.mark.unit


def test_text_is_told_as_it_comes() -> None:
    telling = Telling()
    parts = [TextPart("t1.1", 0, "one"), TextPart("t1.1", 3, " two")]
    assert [telling.feed(part) for part in parts] == ["one", " two"]
    assert telling.finish("one two") == ""


def test_an_attempt_that_says_the_same_is_held_until_it_has_caught_up() -> None:
    telling = Telling()
    told = [telling.feed(TextPart("t1.1", 0, "one two"))]
    told += [telling.feed(TextPart("t1.1", 0, part)) for part in ("",)]
    told += [telling.feed(TextPart("t1.1", 0, "one"))]
    told += [telling.feed(TextPart("t1.1", 3, " two th"))]
    told += [telling.feed(TextPart("t1.1", 10, "ree"))]
    assert told == ["one two", "", "", " th", "ree"]


def test_one_that_says_something_else_is_told_no_further() -> None:
    telling = Telling()
    telling.feed(TextPart("t1.1", 0, "one two"))
    assert telling.feed(TextPart("t1.1", 0, "other words, many of them")) == ""
    assert telling.finish("other words, many of them") is None


def test_calls_are_apart() -> None:
    telling = Telling()
    told = [telling.feed(TextPart("t1.1", 0, "I look."))]
    told.append(telling.feed(TextPart("t1.2", 0, "")))
    told.append(telling.feed(TextPart("t1.2", 0, "Sun")))
    told.append(telling.feed(TextPart("t1.2", 3, ".")))
    assert told == ["I look.", "", "\n\nSun", "."]
    assert telling.finish("I look.\n\nSun.") == ""


def test_what_is_held_is_told_as_it_stands() -> None:
    telling = Telling()
    for part in (TextPart("t1.1", 0, "given up"), TextPart("t1.1", 0, "")):
        assert telling.feed(part, held=True) == ""
    assert telling.feed(TextPart("t1.1", 0, "right")) == "right"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 6), st.text("xy", max_size=3)))
)
def test_what_is_told_is_always_a_beginning_or_nothing_more_is(
    steps: list[tuple[str, int, str]],
) -> None:
    telling, told = Telling(), ""
    texts: dict[str, str] = {}
    for unit, keep, added in steps:
        if unit == "a" and "b" in texts:
            continue  # a call that has ended is written no more
        keep = min(keep, len(texts.get(unit, "")))
        texts[unit] = texts.get(unit, "")[:keep] + added
        more = telling.feed(TextPart(unit, keep, added))
        told += more
        if more:
            assert joined(texts.values()).startswith(told)
    whole = joined(texts.values())
    rest = telling.finish(whole)
    assert (told + rest == whole) if rest is not None else not whole.startswith(told)

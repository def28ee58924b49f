"""A18: a stop sequence ends the text, wherever the fragments are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.stops import StopCutter

pytestmark = pytest.mark.unit


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    cutter = StopCutter(stops)
    shown = "".join(cutter.feed(piece) for piece in pieces)
    return shown + cutter.flush(), cutter.stopped


def reference(stops: list[str], text: str) -> tuple[str, bool]:
    """Character by character: stop as soon as the text ends with a sequence."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(
    st.lists(st.text("abE", min_size=1, max_size=4), max_size=3),
    st.lists(st.text("abE", max_size=5), max_size=8),
)
def test_A18_cut_like_character_by_character(stops: list[str], pieces: list[str]) -> None:
    text, stopped = run(stops, list("".join(pieces)))
    assert (text, stopped) == reference(stops, "".join(pieces))


@given(st.text("abE", min_size=1, max_size=4), st.lists(st.text("abE", max_size=5), max_size=8))
def test_A18_fragments_do_not_matter(stop: str, pieces: list[str]) -> None:
    assert run([stop], pieces) == run([stop], list("".join(pieces)))


def test_only_a_possible_beginning_is_held_back() -> None:
    cutter = StopCutter(["END", "###"])
    assert cutter.feed("hello E") == "hello "
    assert cutter.feed("N") == ""
    assert cutter.feed("X#") == "ENX"
    assert cutter.feed(" #") == "# "
    assert cutter.flush() == "#"
    assert cutter.flush() == ""


def test_nothing_comes_after_a_stop() -> None:
    cutter = StopCutter(["END"])
    assert cutter.feed("one END two") == "one "
    assert cutter.stopped
    assert cutter.feed("three") == ""
    assert cutter.flush() == ""


def test_without_stops_everything_passes() -> None:
    assert run([], ["a", "b"]) == ("ab", False)

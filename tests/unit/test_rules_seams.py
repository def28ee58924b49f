"""The seam of a continued answer, delta by delta, for any text, cut and repetition."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.seams import MIN_OVERLAP_CHARS, REACH_CHARS, Seam
from tests.support.cases import cases

pytestmark = pytest.mark.unit


def repeated(before: str, continuation: str) -> int:
    """Return the longest repetition, found the slow way."""
    lengths = range(min(REACH_CHARS, len(before), len(continuation)), MIN_OVERLAP_CHARS - 1, -1)
    return next((n for n in lengths if before.endswith(continuation[:n])), 0)


def join(before: str, deltas: list[str]) -> tuple[str, int]:
    """Return all that a seam releases, and the most that it held back at any time."""
    seam = Seam(before)
    released, most = "", 0
    for delta in deltas:
        released += seam.feed(delta)
        most = max(most, seam.held)
    released += seam.finish()
    assert seam.held == 0
    assert len("".join(deltas)) == len(released) + seam.trimmed
    return released, most


def split(text: str, sizes: list[int]) -> list[str]:
    deltas, at = [], 0
    for size in sizes:
        deltas.append(text[at : at + size])
        at += size
    return [*deltas, text[at:]]


@pytest.mark.parametrize(
    ("before", "deltas", "expected"),
    [
        ("The cat sat", ["cat ", "sat on", " it"], " on it"),
        ("The cat sat", [" on", " it"], " on it"),
        ("The cat sat", ["The cat sat"], ""),
        ("The cat sat", ["sat on it"], "sat on it"),  # 3 characters: a coincidence
        ("one two two ", ["two ", "three"], "three"),
        ("one two two ", ["two two ", "three"], "three"),
        ("abcabcabc", ["abcabc", "d"], "d"),
        ("abcdX", ["abcd", "Y"], "abcdY"),  # does not reach the end of the text before
        ("abcdX", ["abcd"], "abcd"),
        ("", ["abcd"], "abcd"),
        ("abcd", [], ""),
        ("abcd", ["", "ab", "", "cd", "e", ""], "e"),
        ("1234512345", ["12345", "6"], "6"),
        ("été à l'été", ["à l'été", "!"], "!"),
        ("a😀b😀", ["a😀b😀c"], "c"),
    ],
)
def test_what_is_repeated_is_trimmed_once(before: str, deltas: list[str], expected: str) -> None:
    assert join(before, deltas)[0] == expected


def test_text_flows_at_once_where_nothing_is_repeated() -> None:
    seam = Seam("The cat sat")
    assert seam.feed(" o") == " o"
    assert seam.feed("n it") == "n it"


def test_only_the_beginning_of_a_continuation_is_looked_at() -> None:
    seam = Seam("The cat sat")
    assert seam.feed("cat sat. The cat sat") == ". The cat sat"
    assert seam.feed("The cat sat") == "The cat sat"
    assert seam.trimmed == 7


def test_text_is_held_back_only_while_it_may_be_a_repetition() -> None:
    seam = Seam("one two three")
    assert seam.feed("two th") == ""
    assert seam.held == 6
    assert seam.feed("us") == "two thus"
    assert seam.held == 0


def test_a_repetition_longer_than_the_reach_is_not_recognised_as_one() -> None:
    source = random.Random(3)
    before = "".join(source.choices("abcdefgh", k=600))
    assert join(before, [before[-REACH_CHARS:] + "!"])[0] == "!"
    longer = before[-REACH_CHARS - 1 :] + "!"
    assert join(before, [longer])[0] == longer


words = st.lists(
    st.sampled_from(["the", "cat", "a", "aa", "ab", "é", "😀", "\n", "sat", "on", " "]),
    max_size=150,
)
sizes = st.lists(st.integers(0, 40), max_size=40)


@cases(300)
@given(words, st.integers(0, 500), st.integers(0, REACH_CHARS), sizes)
def test_any_continuation_is_joined_whatever_its_deltas(
    parts: list[str], cut: int, overlap: int, pieces: list[int]
) -> None:
    text = " ".join(parts)
    cut = min(cut, len(text))
    overlap = min(overlap, cut)
    before, continuation = text[:cut], text[cut - overlap :]
    released, most = join(before, split(continuation, pieces))
    length = repeated(before, continuation)
    assert released == continuation[length:]
    assert most <= REACH_CHARS
    if overlap >= MIN_OVERLAP_CHARS and length == overlap:
        assert before + released == text


@cases(150)
@given(st.integers(0, 2**32), st.integers(4, 900), st.integers(4, REACH_CHARS), sizes)
def test_a_repetition_in_ordinary_text_is_always_found(
    seed: int, cut: int, overlap: int, pieces: list[int]
) -> None:
    """With many different characters a match by chance does not happen: the text comes back."""
    source = random.Random(seed)
    text = "".join(source.choices([chr(c) for c in range(0x4E00, 0x6E00)], k=cut + 50))
    overlap = min(overlap, cut)
    released, _ = join(text[:cut], split(text[cut - overlap :], pieces))
    assert text[:cut] + released == text


@cases(150)
@given(st.text("ab", max_size=60), st.text("ab", max_size=60), sizes)
def test_the_deltas_do_not_matter(before: str, continuation: str, pieces: list[int]) -> None:
    assert join(before, split(continuation, pieces))[0] == join(before, list(continuation))[0]
    assert join(before, [continuation])[0] == continuation[repeated(before, continuation) :]

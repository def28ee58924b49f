"""Assembling: one coherent text, or a gap that is flagged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler, TextChange, coherent
from tests.unit.spool_stories import AGENT, Story, stories

pytestmark = pytest.mark.unit


def record(kind: str, attempt: int, seq: int, offset: int, text: str = "") -> SpoolRecord:
    return SpoolRecord.model_validate(
        {
            "kind": kind,
            "agent": AGENT,
            "attempt": attempt,
            "seq": seq,
            "offset": offset,
            "text": text,
        }
    )


def fed(*records: SpoolRecord) -> TextAssembler:
    assembler = TextAssembler()
    for one in records:
        assembler.feed(one)
    return assembler


@given(stories())
def test_without_losses_the_text_is_the_true_one_at_every_moment(story: Story) -> None:
    assembler = TextAssembler()
    for told, truth in zip(story.records, story.truths, strict=True):
        assembler.feed(told)
        assert assembler.text(AGENT) == truth
        assert not assembler.gap(AGENT)
        assert assembler.sound_text(AGENT) == truth


@given(stories(), st.data())
def test_with_losses_the_text_is_the_true_one_or_a_gap_is_flagged(
    story: Story, data: st.DataObject
) -> None:
    assembler = TextAssembler()
    for told, own in zip(story.records, story.own_texts, strict=True):
        if data.draw(st.integers(0, 3)) == 0:
            continue
        change = assembler.feed(told)
        if change is not None and not change.gap:
            assert assembler.text(AGENT) == own
        if change is not None:
            assert own.startswith(assembler.sound_text(AGENT))


@given(stories(), st.data())
def test_readings_may_begin_anew_anywhere_and_change_nothing(
    story: Story, data: st.DataObject
) -> None:
    assembler = TextAssembler()
    position = 0
    for _ in range(data.draw(st.integers(0, 4))):
        back = data.draw(st.integers(0, position))
        ahead = data.draw(st.integers(position, len(story.records)))
        for at in range(back, ahead):
            assembler.feed(story.records[at])
            if at >= position:
                assert assembler.text(AGENT) == story.truths[at]
            elif position:
                assert assembler.text(AGENT) == story.truths[position - 1]
            assert not assembler.gap(AGENT)
        position = max(position, ahead)


@given(stories(), st.integers(0, 25))
def test_who_comes_late_shows_the_true_text_or_flags_a_gap(story: Story, start: int) -> None:
    assembler = TextAssembler()
    for told, own in list(zip(story.records, story.own_texts, strict=True))[start:]:
        change = assembler.feed(told)
        if change is not None and not change.gap:
            assert assembler.text(AGENT) == own


@given(stories(), st.data())
def test_a_viewer_that_applies_the_changes_shows_the_same_text(
    story: Story, data: st.DataObject
) -> None:
    assembler = TextAssembler()
    shown = ""
    for told in story.records:
        if data.draw(st.integers(0, 5)) == 0:
            continue
        change = assembler.feed(told)
        if change is not None:
            assert change.keep <= len(shown)
            shown = shown[: change.keep] + change.added
        assert shown == assembler.text(AGENT)


def test_a_new_attempt_withdraws_what_no_longer_counts() -> None:
    assembler = fed(record("superseded", 1, 0, 0), record("delta", 1, 1, 0, "Hello wor"))
    change = assembler.feed(record("superseded", 2, 0, 6))
    assert change == TextChange(AGENT, keep=6, added="", gap=False)
    change = assembler.feed(record("delta", 2, 1, 6, "you"))
    assert change == TextChange(AGENT, keep=6, added="you", gap=False)
    assert assembler.feed(record("delta", 1, 2, 9, "ld")) is None
    assert assembler.text(AGENT) == "Hello you"
    assert assembler.attempt(AGENT) == 2


def test_a_hole_is_flagged_until_an_attempt_begins_before_it() -> None:
    assembler = fed(
        record("superseded", 1, 0, 0),
        record("delta", 1, 1, 0, "one "),
        record("delta", 1, 3, 8, "three"),
    )
    assert assembler.gap(AGENT)
    assert assembler.text(AGENT) == "one three"
    assert assembler.sound_text(AGENT) == "one "
    assembler.feed(record("superseded", 2, 0, 4))
    assert not assembler.gap(AGENT)
    assert assembler.text(AGENT) == "one "


def test_a_lost_tail_is_noticed_at_the_end() -> None:
    assembler = fed(record("superseded", 1, 0, 0), record("delta", 1, 1, 0, "abc"))
    assert not assembler.gap(AGENT)
    change = assembler.feed(record("ended", 1, 3, 5))
    assert change is not None
    assert change.gap
    assert change.ended
    assert assembler.ended(AGENT)


def test_a_lost_beginning_of_an_attempt_is_known_from_its_first_delta() -> None:
    assembler = fed(
        record("superseded", 1, 0, 0),
        record("delta", 1, 1, 0, "Hello wor"),
        record("delta", 2, 1, 6, "you"),
    )
    assert assembler.text(AGENT) == "Hello you"
    assert not assembler.gap(AGENT)


def test_an_attempt_of_which_only_a_later_part_was_seen_is_in_doubt() -> None:
    """Its lost beginning may lie anywhere before: what stands there may not count any more."""
    assembler = fed(
        record("superseded", 1, 0, 0),
        record("delta", 1, 1, 0, "Hello world"),
        record("delta", 2, 2, 9, "you"),
    )
    assert assembler.text(AGENT) == "Hello woryou"
    assert assembler.gap(AGENT)
    assert assembler.sound_text(AGENT) == ""


def test_an_attempt_that_goes_on_from_one_never_seen_is_in_doubt() -> None:
    assembler = fed(record("superseded", 1, 0, 0), record("delta", 1, 1, 0, "Hello world"))
    assembler.feed(record("superseded", 3, 0, 9))
    assert assembler.gap(AGENT)
    assert assembler.sound_text(AGENT) == ""
    assembler.feed(record("superseded", 5, 0, 0))
    assert not assembler.gap(AGENT)


def test_agents_do_not_touch_each_other() -> None:
    other = record("delta", 1, 0, 0, "B").model_copy(update={"agent": "other"})
    assembler = fed(record("delta", 1, 0, 0, "A"), other)
    assert assembler.agents == (AGENT, "other")
    assert (assembler.text(AGENT), assembler.text("other")) == ("A", "B")
    assert assembler.text("nobody") == ""
    assert not assembler.gap("nobody")


@given(stories("one"), stories("two"))
def test_coherent_gives_every_agents_text(one: Story, two: Story) -> None:
    mixed = [(story, at) for story in (one, two) for at in range(len(story.records))]
    records = [story.records[at] for story, at in sorted(mixed, key=lambda pair: pair[1])]
    assert coherent(records) == {"one": one.truths[-1], "two": two.truths[-1]}

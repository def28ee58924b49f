"""When a conversation is summed up, and what stands for it then."""

import pytest

from rules import compaction

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("size", "length", "over", "due"),
    [
        (1_001, 2, 1_000, True),
        (1_000, 2, 1_000, False),
        (9_999, 2, None, False),
        (9_999, 1, 1_000, False),
        (0, 0, 1_000, False),
    ],
)
def test_what_is_longer_than_its_agent_wants_is_summed_up_but_no_summary(
    size: int, length: int, over: int | None, due: bool
) -> None:
    assert compaction.is_due(size, length, over) is due


def test_a_summary_names_who_wrote_it() -> None:
    assert compaction.summary("reader", " All is said. \n").endswith("by reader:\n\nAll is said.")

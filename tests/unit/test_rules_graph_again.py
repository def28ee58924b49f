"""A failed step that is run again, and a frontier that goes on elsewhere from its state."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.teams import AgentStatus
from rules.graph import FAILURES, Frontier, GraphError, Node, Skip
from tests.unit.test_rules_graph import ENDINGS, dags, graph

pytestmark = pytest.mark.unit

COMPLETED, FAILED = AgentStatus.COMPLETED, AgentStatus.FAILED


def _failed(*texts: str, name: str, partial: bool = True) -> Frontier:
    frontier = Frontier(graph(*texts), partial)
    frontier.start(name)
    frontier.finish(name, FAILED)
    return frontier


def test_a_failed_step_and_what_it_skipped_wait_again() -> None:
    frontier = _failed("a", "b: a", "c: b", "d: a?", name="a")
    assert frontier.pending == ("d",)
    assert frontier.reopen("a") == (["a", "b", "c"], [])
    assert frontier.ready(9) == ["a"]
    frontier.start("a")
    frontier.finish("a", COMPLETED)
    assert frontier.ready(9) == ["b", "d"]


def test_what_another_failure_skips_stays_skipped() -> None:
    frontier = Frontier(graph("a", "b", "c: a, b", "d: c"))
    for name in ("a", "b"):
        frontier.start(name)
        frontier.finish(name, FAILED)
    again, skips = frontier.reopen("a")
    assert again == ["a"]
    assert skips == [Skip("c", "skipped: b failed"), Skip("d", "skipped: c was skipped")]
    assert frontier.reopen("b") == (["b", "c", "d"], [])


def test_D12_without_partial_completion_all_that_it_cancelled_comes_back() -> None:
    frontier = _failed("a", "b", "c: b", name="a", partial=False)
    assert frontier.pending == ()
    assert frontier.reopen("a") == (["a", "b", "c"], [])
    assert frontier.ready(9) == ["a", "b"]


def test_only_what_has_failed_is_run_again() -> None:
    frontier = Frontier(graph("a", "b: a", "c"))
    with pytest.raises(GraphError, match='"a" has not failed'):
        frontier.reopen("a")
    frontier.start("a")
    frontier.finish("a", FAILED)
    with pytest.raises(GraphError, match='"b" has not failed'):
        frontier.reopen("b")


@given(dags(), st.randoms(use_true_random=False), st.booleans(), st.integers(0, 6))
def test_any_graph_with_steps_run_again_and_moved_ends(
    nodes: list[Node], chance: random.Random, partial: bool, retries: int
) -> None:
    frontier, plain = Frontier(nodes, partial), Frontier(nodes, partial)
    statuses: dict[str, AgentStatus] = {}
    for _ in range(20 * len(nodes) + 40):
        if frontier.done:
            break
        moved = Frontier(nodes, partial)
        moved.restore(frontier.to_state())
        assert (moved.pending, moved.ready(99)) == (frontier.pending, frontier.ready(99))
        assert set(moved.running) == set(frontier.running)
        frontier = moved
        failed = [name for name, status in statuses.items() if status in FAILURES]
        ready = frontier.ready(3)
        if failed and retries and chance.random() < 0.5:
            retries -= 1
            name = chance.choice(failed)
            again, skips = frontier.reopen(name)
            assert name in again
            for other in (*again, *(skip.name for skip in skips)):
                statuses.pop(other, None)
        elif ready and chance.random() < 0.6:
            frontier.start(chance.choice(ready))
        elif frontier.running:
            name = chance.choice(frontier.running)
            statuses[name] = chance.choice(ENDINGS)
            frontier.finish(name, statuses[name])
            needed = {n.name: n.dependencies for n in nodes}
            assert all(statuses.get(n) is COMPLETED for n in needed[name])
    assert frontier.done
    if not partial:
        return
    # What ran in the end is what a run of these outcomes without retries would have run.
    ran = set()
    while plain.ready(1):
        name = plain.ready(1)[0]
        plain.start(name)
        plain.finish(name, statuses[name])
        ran.add(name)
    assert ran == set(statuses)

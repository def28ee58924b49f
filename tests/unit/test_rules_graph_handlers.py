"""Where partial completion is not allowed, a failure that its handler deals with is none."""

import pytest

from contracts.plans import StepNode
from contracts.teams import AgentStatus
from rules.graph import Frontier, Node, Skip
from rules.plan_graph import graph_nodes

pytestmark = pytest.mark.unit

COMPLETED, FAILED = AgentStatus.COMPLETED, AgentStatus.FAILED
GUARDED = [Node("guarded", handler="handler"), Node("handler", (), ("guarded",)), Node("rest")]


@pytest.mark.parametrize("ended", [COMPLETED, FAILED])
def test_a_failure_that_is_dealt_with_lets_the_rest_go_on(ended: AgentStatus) -> None:
    frontier = Frontier(GUARDED, allow_partial=False)
    frontier.start("guarded")
    assert frontier.finish("guarded", FAILED) == []
    assert frontier.ready(9) == ["handler", "rest"]
    frontier.start("handler")
    skipped = [skip.name for skip in frontier.finish("handler", ended)]
    assert skipped == (["rest"] if ended is FAILED else [])


@pytest.mark.parametrize("moved", [False, True], ids=["whole", "moved on"])
def test_a_failure_whose_handler_is_skipped_skips_the_rest(moved: bool) -> None:
    frontier = Frontier(GUARDED, allow_partial=False)
    frontier.start("guarded")
    frontier.finish("guarded", FAILED)
    if moved:
        state, frontier = frontier.to_state(), Frontier(GUARDED, allow_partial=False)
        frontier.restore(state)
    assert frontier.skip("handler", "skipped: when") == [
        Skip("handler", "skipped: when"),
        Skip("rest", "skipped: guarded failed and allow_partial_completion is false"),
    ]


def test_the_graph_of_a_plan_knows_its_handlers() -> None:
    steps = [StepNode(name="guarded", kind="model", handler=1), StepNode(name="h", kind="model")]
    assert graph_nodes(steps) == [Node("guarded", handler="h"), Node("h", (), ("guarded",))]

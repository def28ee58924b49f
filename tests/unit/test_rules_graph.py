"""The graph of steps: order, skips and endings, by example and for random graphs."""

import random
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.teams import AgentStatus, WorkflowStatus
from rules.graph import (
    FAILURES,
    Frontier,
    GraphError,
    Node,
    Skip,
    critical_path,
    find_cycle,
    problems,
    run_status,
    validate,
)
from tests.support.cases import cases

pytestmark = pytest.mark.unit

COMPLETED, FAILED, CANCELLED = (
    AgentStatus.COMPLETED,
    AgentStatus.FAILED,
    AgentStatus.CANCELLED,
)
ENDINGS = (COMPLETED, FAILED, CANCELLED, AgentStatus.RATE_LIMITED, AgentStatus.BUDGET_EXCEEDED)


def node(text: str, priority: int = 5) -> Node:
    """Spell a node as "c: a, b?"."""
    name, _, needed = text.partition(":")
    names = [n.strip() for n in needed.split(",") if n.strip()]
    return Node(
        name,
        tuple(n for n in names if not n.endswith("?")),
        tuple(n[:-1] for n in names if n.endswith("?")),
        priority,
    )


def graph(*texts: str) -> list[Node]:
    return [node(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("clauses", "b: clause"), 'b: no step named "clause". Did you mean "clauses"?'),
        (("a", "b: zzz?"), 'b: no step named "zzz"'),
        (("a: b", "b: a"), "steps wait for each other: a → b → a"),
        (("a: a",), '"a" depends on itself'),
        (("a", "a"), 'two steps are named "a"'),
    ],
)
def test_D5_what_is_no_graph_is_refused(texts: tuple[str, ...], message: str) -> None:
    nodes = graph(*texts)
    assert problems(nodes) == [message]
    with pytest.raises(ValueError) as caught:
        validate(nodes)
    assert str(caught.value) == message
    with pytest.raises(GraphError):
        Frontier(nodes)


def test_all_problems_are_reported() -> None:
    assert len(problems(graph("a: x", "b: b", "c: y?"))) == 3


@pytest.mark.parametrize(
    ("texts", "cycle"),
    [
        (("a", "b: a", "c: a, b"), None),
        (("a: c?", "b: a", "c: b"), ["a", "c", "b", "a"]),
        (("x: y", "y: z", "z: y"), ["y", "z", "y"]),
        ((), None),
    ],
)
def test_find_cycle_gives_a_path_that_ends_where_it_began(
    texts: tuple[str, ...], cycle: list[str] | None
) -> None:
    assert find_cycle(graph(*texts)) == cycle


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    nodes = [Node("s0"), *(Node(f"s{n}", (f"s{n - 1}",)) for n in range(1, 20_000))]
    assert find_cycle(nodes) is None
    assert find_cycle([Node("s0", ("s19999",)), *nodes[1:]]) is not None
    assert len(critical_path(nodes, {"s7": 1.0})) >= 8


def test_D6_a_step_is_ready_when_all_its_dependencies_are_complete() -> None:
    frontier = Frontier(graph("a", "b", "c: a, b"))
    assert frontier.ready(9) == ["a", "b"]
    frontier.start("a")
    frontier.start("b")
    frontier.finish("a", COMPLETED)
    assert frontier.ready(9) == []
    frontier.finish("b", COMPLETED)
    assert frontier.ready(9) == ["c"]


def test_D7_ready_steps_come_by_priority_then_file_order() -> None:
    nodes = [
        node("low", 3),
        node("high", 9),
        node("mid", 5),
        node("mid2", 5),
        node("running", 10),
        node("blocked: running", 10),
    ]
    frontier = Frontier(nodes)
    frontier.start("running")
    assert frontier.ready(9) == ["high", "mid", "mid2", "low"]
    assert frontier.ready(2) == ["high", "mid"]
    assert frontier.ready(0) == []
    assert frontier.ready(-3) == []


def test_D10_what_needs_a_failed_step_is_skipped_and_the_rest_goes_on() -> None:
    frontier = Frontier(graph("clauses", "sign_off: clauses", "memo: sign_off", "c", "d: memo?, c"))
    frontier.start("clauses")
    assert frontier.finish("clauses", FAILED) == [
        Skip("sign_off", "skipped: clauses failed"),
        Skip("memo", "skipped: sign_off was skipped"),
    ]
    assert frontier.ready(9) == ["c"]
    frontier.start("c")
    frontier.finish("c", COMPLETED)
    assert frontier.ready(9) == ["d"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (FAILED, "skipped: a failed"),
        (CANCELLED, "skipped: a was cancelled"),
        (AgentStatus.RATE_LIMITED, "skipped: a was rate limited"),
        (AgentStatus.BUDGET_EXCEEDED, "skipped: a exceeded its budget"),
    ],
)
def test_reasons_say_how_the_dependency_ended(status: AgentStatus, reason: str) -> None:
    frontier = Frontier(graph("a", "b: a", "c: a?"))
    frontier.start("a")
    assert frontier.finish("a", status) == [Skip("b", reason)]
    assert frontier.ready(9) == ["c"]


def test_a_dependency_written_both_ways_is_required() -> None:
    frontier = Frontier([Node("a"), Node("b", ("a",), ("a",))])
    frontier.start("a")
    assert frontier.finish("a", FAILED) == [Skip("b", "skipped: a failed")]


def test_a_skipped_step_skips_those_that_need_it_whether_started_or_not() -> None:
    frontier = Frontier(graph("a", "b: a", "c: a?", "d"))
    frontier.start("a")
    assert frontier.skip("a", "skipped: false") == [
        Skip("a", "skipped: false"),
        Skip("b", "skipped: a was skipped"),
    ]
    assert frontier.skip("d", "skipped: why") == [Skip("d", "skipped: why")]
    assert frontier.ready(9) == ["c"]


def test_D12_without_partial_completion_nothing_starts_after_a_failure() -> None:
    frontier = Frontier(graph("a", "b", "c", "d: a", "e"), allow_partial=False)
    for name in ("a", "b"):
        frontier.start(name)
    reason = "skipped: a failed and allow_partial_completion is false"
    assert frontier.finish("a", FAILED) == [
        Skip("d", "skipped: a failed"),
        Skip("c", reason),
        Skip("e", reason),
    ]
    assert frontier.ready(9) == []
    assert not frontier.done
    assert frontier.finish("b", FAILED) == []
    assert frontier.done


def test_a_cancelled_step_is_no_failure_for_the_rest() -> None:
    frontier = Frontier(graph("a", "b"), allow_partial=False)
    frontier.start("a")
    frontier.finish("a", CANCELLED)
    assert frontier.ready(9) == ["b"]


def test_cancel_rest_leaves_what_is_in_flight() -> None:
    frontier = Frontier(graph("a", "b", "c: a"))
    frontier.start("a")
    assert frontier.pending == ("b", "c")
    assert frontier.running == ("a",)
    assert frontier.cancel_rest("timeout") == [Skip("b", "timeout"), Skip("c", "timeout")]
    assert not frontier.done
    assert frontier.finish("a", FAILED) == []
    assert frontier.done


def test_events_that_cannot_be_are_errors() -> None:
    frontier = Frontier(graph("a", "b: a"))
    with pytest.raises(GraphError, match="not ready"):
        frontier.start("b")
    with pytest.raises(GraphError, match="not running"):
        frontier.finish("a", COMPLETED)
    frontier.start("a")
    with pytest.raises(GraphError, match="not ready"):
        frontier.start("a")
    with pytest.raises(GraphError, match="cannot end running"):
        frontier.finish("a", AgentStatus.RUNNING)
    frontier.finish("a", COMPLETED)
    with pytest.raises(GraphError, match="not running"):
        frontier.finish("a", COMPLETED)
    with pytest.raises(GraphError, match="ended already"):
        frontier.skip("a", "late")


def test_the_critical_path_is_the_heaviest_chain_of_what_is_left() -> None:
    nodes = graph("a", "b: a", "c: a", "d: b, c?")
    weights = {"a": 1.0, "b": 5.0, "c": 7.0, "d": 1.0}
    assert critical_path(nodes, weights) == ["a", "c", "d"]
    frontier = Frontier(nodes)
    frontier.start("a")
    frontier.finish("a", COMPLETED)
    assert frontier.critical_path(weights) == ["c", "d"]
    assert critical_path([], {}) == []


def ended(*results: tuple[str, int] | str) -> list[tuple[AgentStatus, int, bool]]:
    words = {"ok": COMPLETED, "no": FAILED, "skip": CANCELLED, "cut": CANCELLED}
    pairs = [r if isinstance(r, tuple) else (r, 5) for r in results]
    return [(words[word], priority, word == "skip") for word, priority in pairs]


@pytest.mark.parametrize(
    ("results", "status"),
    [
        (("ok", "ok", "ok"), WorkflowStatus.COMPLETED),
        (("no", "ok"), WorkflowStatus.PARTIALLY_COMPLETED),
        (("no", "no", "ok"), WorkflowStatus.FAILED),
        ((("no", 8), "ok", "ok"), WorkflowStatus.FAILED),
        ((("no", 7), "ok", "ok"), WorkflowStatus.PARTIALLY_COMPLETED),
        (("no", "skip", "skip", "ok"), WorkflowStatus.PARTIALLY_COMPLETED),
        (("no", "skip", "ok", "no"), WorkflowStatus.FAILED),
        (("skip", "ok"), WorkflowStatus.COMPLETED),
        (("cut", "ok"), WorkflowStatus.PARTIALLY_COMPLETED),
        (("skip", "skip"), WorkflowStatus.COMPLETED),
        (("no",), WorkflowStatus.FAILED),
    ],
)
def test_D11_how_a_run_ends(results: tuple[str, ...], status: WorkflowStatus) -> None:
    assert run_status(ended(*results), allow_partial=True, cancelled=False) is status


def test_D12_any_failure_fails_a_run_without_partial_completion() -> None:
    results = ended("no", "ok", "ok", "ok")
    assert run_status(results, allow_partial=False, cancelled=False) is WorkflowStatus.FAILED
    assert run_status(results, allow_partial=True, cancelled=True) is WorkflowStatus.CANCELLED
    assert (
        run_status(ended("ok", "skip"), allow_partial=False, cancelled=False)
        is WorkflowStatus.COMPLETED
    )


@pytest.mark.parametrize("status", sorted(FAILURES))
def test_D14_every_kind_of_failure_counts(status: AgentStatus) -> None:
    results = [(status, 5, False), (COMPLETED, 5, False)]
    assert run_status(results, True, False) is WorkflowStatus.PARTIALLY_COMPLETED
    assert run_status(results, False, False) is WorkflowStatus.FAILED
    assert {FAILED, AgentStatus.RATE_LIMITED, AgentStatus.BUDGET_EXCEEDED} == FAILURES


def test_a_run_with_a_step_that_never_ended_is_not_complete() -> None:
    results = [(AgentStatus.PENDING, 5, False), (COMPLETED, 5, False)]
    assert run_status(results, True, False) is WorkflowStatus.PARTIALLY_COMPLETED


@st.composite
def dags(draw: st.DrawFn) -> list[Node]:
    size = draw(st.integers(1, 14))
    nodes = []
    for number in range(size):
        earlier = [f"s{n}" for n in range(number)]
        needed = draw(st.sets(st.sampled_from(earlier), max_size=3)) if earlier else set()
        kinds = {name: draw(st.booleans()) for name in sorted(needed)}
        nodes.append(
            Node(
                f"s{number}",
                tuple(n for n, required in kinds.items() if required),
                tuple(n for n, required in kinds.items() if not required),
                draw(st.integers(1, 10)),
            )
        )
    return draw(st.permutations(nodes))


@cases(200)
@given(dags(), st.randoms(use_true_random=False), st.integers(1, 5), st.booleans())
def test_any_graph_with_any_outcomes_ends(
    nodes: list[Node], chance: random.Random, limit: int, allow_partial: bool
) -> None:
    by_name = {node.name: node for node in nodes}
    frontier = Frontier(nodes, allow_partial)
    ended: dict[str, AgentStatus | None] = {}
    flying: list[str] = []
    failed = False
    while not frontier.done:
        ready = frontier.ready(limit - len(flying))
        assert [by_name[n].priority for n in ready] == sorted(
            (by_name[n].priority for n in ready), reverse=True
        )
        for name in ready:
            needed = by_name[name]
            assert all(ended.get(n) is COMPLETED for n in needed.dependencies)
            assert all(n in ended for n in needed.optional_dependencies)
            assert allow_partial or not failed
            frontier.start(name)
            flying.append(name)
        assert len(flying) <= limit
        assert flying, "nothing runs and yet not all has ended"
        name = flying.pop(chance.randrange(len(flying)))
        if chance.random() < 0.2:
            skips = frontier.skip(name, "skipped: false")
        else:
            status = chance.choice(ENDINGS)
            failed = failed or status in FAILURES
            skips = [Skip(name, ""), *frontier.finish(name, status)]
            ended[name] = status
            skips = skips[1:]
        for skip in skips:
            assert skip.name not in ended, "a step ended twice"
            assert skip.reason.startswith("skipped: ")
            ended[skip.name] = None
    assert set(ended) == set(by_name)
    assert frontier.pending == ()
    assert frontier.ready(99) == []


@cases(100)
@given(dags(), st.data())
def test_a_cycle_is_found_if_there_is_one(nodes: list[Node], data: st.DataObject) -> None:
    assert find_cycle(nodes) is None
    first = data.draw(st.sampled_from(nodes))
    behind = {first.name}
    for node_ in sorted(nodes, key=lambda n: int(n.name[1:])):
        if behind & {*node_.dependencies, *node_.optional_dependencies}:
            behind.add(node_.name)
    last = data.draw(st.sampled_from(sorted(behind)))
    bent = [
        Node(n.name, (*n.dependencies, last), n.optional_dependencies) if n is first else n
        for n in nodes
    ]
    cycle = find_cycle(bent)
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    edges = {n.name: {*n.dependencies, *n.optional_dependencies} for n in bent}
    assert all(after in edges[before] for before, after in pairwise(cycle))


def test_a_thousand_steps_cost_microseconds_each() -> None:
    wide = [Node(f"s{n}") for n in range(1_000)]
    nodes = [*wide, Node("join", tuple(n.name for n in wide)), Node("late", (), ("join",))]
    begun = perf_counter()
    frontier = Frontier(nodes)
    events = 0
    while not frontier.done:
        for name in frontier.ready(10):
            frontier.start(name)
        for name in frontier.running:
            frontier.finish(name, COMPLETED)
            events += 1
    assert events == 1_002
    assert (perf_counter() - begun) / events < 0.01, "it grows with the graph"

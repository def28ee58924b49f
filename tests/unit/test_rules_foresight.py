"""What is known before a run: sizes that bound what the run will count, lists that are given."""

from decimal import Decimal
from typing import Any

import pytest

from contracts.artifacts import ArtifactRef
from contracts.messages import Usage
from contracts.plans import Plan
from contracts.runs import AttemptRecord, RunRecord, SlicePart, StepResult
from contracts.teams import (
    AgentStatus,
    ApprovalStep,
    ForEachSpec,
    GateStep,
    OutputSpec,
    RepeatSpec,
    SetStep,
    StepSpec,
    TeamStep,
    WorkflowStatus,
)
from rules.bounds import text_bytes
from rules.foresight import Foresight, Given, Items, Size
from rules.usual import Usual, UsualStep, usual
from tests.support.teams import AT_ONCE, agent, plan, team

pytestmark = pytest.mark.unit

INPUTS = {"text": {"type": "text"}, "things": {"type": "list"}}
TEXT = Given.of("x" * 40, 40)
THINGS = [{"name": "bee"}, {"name": "wasp"}]


def ahead(
    *steps: StepSpec, usual: Usual | None = None, given: Any = None, **more: Any
) -> Foresight:
    spec = team(*steps, inputs=INPUTS)
    known = {"text": TEXT, "things": Given.of(THINGS)} if given is None else given
    return Foresight(plan(spec, retry=AT_ONCE, **more), known, usual)


def size_of(foresight: Foresight, name: str) -> Size:
    (node,) = [node for node in foresight.nodes if node.name == name]
    return foresight.output(node).size


def items_of(foresight: Foresight, name: str) -> Items:
    (node,) = [node for node in foresight.nodes if node.name == name]
    return foresight.items(node)


def each(source: str, **more: Any) -> StepSpec:
    names = ("a",) if "agents.a" in source else ()
    spec = ForEachSpec(item="one", in_=source)
    return agent("each", "Take {one}", for_each=spec, dependencies=names, **more)


def test_an_answer_has_no_more_bytes_than_its_tokens_can_hold() -> None:
    assert size_of(ahead(agent("a")), "a") == Size(text_bytes(50), 25 * 4)


def test_an_answer_that_goes_on_after_cuts_may_grow_with_each_attempt() -> None:
    grown = size_of(ahead(agent("a", on_interrupt="continue", max_retries=2)), "a")
    assert grown.most == text_bytes(50) * 3


def test_a_prompt_is_unknown_where_something_that_it_reads_is() -> None:
    known = ahead(agent("a", "See {text} {text}"))
    assert known.prompt(known.nodes[0]).most == known.nodes[0].prompt_bytes + 80
    lacking = ahead(agent("a", "See {text}"), given={})
    assert lacking.prompt(lacking.nodes[0]).most is None


@pytest.mark.parametrize(
    ("expression", "most"),
    [
        ("inputs.things.map(t, t.name)", len('["bee","wasp"]')),
        ("inputs.text", 42),  # as JSON: in quotes
        ("size(inputs.things) > 1", 4),
        ("agents.a.output", text_bytes(50) + 8),
        ("agents.a.output + agents.a.output", None),
        ("run.cost", None),
        ("inputs.things[7]", 4),  # fails in the run, and gives nothing
    ],
)
def test_a_computed_value(expression: str, most: int | None) -> None:
    needs = ("a",) if "agents.a" in expression else ()
    step = SetStep(name="s", expression=expression, dependencies=needs)
    assert size_of(ahead(agent("a"), step), "s").most == most


def test_gates_and_people_say_little() -> None:
    ask = ApprovalStep(name="ask", ask="?", choices=("go", "stop it"))
    known = ahead(ask, GateStep(name="gate", expression="true"))
    assert size_of(known, "ask").most == len("stop it") + 8
    assert size_of(known, "gate").most == 8


def test_a_list_of_an_input_is_known_item_by_item() -> None:
    found = items_of(ahead(each("inputs.things.filter(t, t.name != 'bee')")), "each")
    assert found == Items(1, 1, (len('{"name":"wasp"}'),), Size(15, 15))


@pytest.mark.parametrize("source", ["inputs.text", "inputs.things[5]"])
def test_what_is_no_list_calls_nobody(source: str) -> None:
    assert items_of(ahead(each(source)), "each").most == 0


def listing(schema: dict[str, Any]) -> StepSpec:
    return agent("a", output=OutputSpec(kind="json", schema_=schema))


MANY = {"type": "array", "maxItems": 7, "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("schema", "source", "most"),
    [
        (MANY, "agents.a.output", 7),
        (MANY, "agents.a.output.filter(x, x != '')", 7),
        ({"type": "object", "properties": {"all": MANY}}, "agents.a.output.all", 7),
        ({"type": "array"}, "agents.a.output", None),
        (MANY, "agents.a.output[0]", None),
        (MANY, "agents.a.output + agents.a.output", None),
    ],
)
def test_a_list_of_an_agent_is_bounded_by_its_schema(
    schema: dict[str, Any], source: str, most: int | None
) -> None:
    found = items_of(ahead(listing(schema), each(source)), "each")
    assert found.most == most
    assert found.sizes is None


def test_a_list_after_a_list_has_no_more_items() -> None:
    first = agent("a", "{one}", for_each=ForEachSpec(item="one", in_="inputs.things"))
    known = ahead(first, each("agents.a.output.filter(x, x != '')"))
    assert items_of(known, "each").most == 2
    assert size_of(known, "a").most == 2 * (text_bytes(50) + 8)


def test_a_list_that_was_computed_from_inputs() -> None:
    chosen = SetStep(name="a", expression="inputs.things.filter(t, t.name == 'bee')")
    assert items_of(ahead(chosen, each("agents.a.output")), "each").most == 1


def test_rounds_multiply_with_those_of_the_groups_around() -> None:
    outer = agent("a", repeat=RepeatSpec(until="false", max=3, with_=("b",)))
    inner = agent("b", dependencies=("a",), repeat=RepeatSpec(until="false", max=2, with_=("c",)))
    assert ahead(outer, inner, agent("c", dependencies=("b",)), agent("d")).rounds == [3, 6, 6, 1]


def child_plan(**more: Any) -> Plan:
    return plan(team(agent("in", "{topic}"), inputs={"topic": {"type": "text"}}, **more))


def test_a_team_within_has_the_sizes_that_it_is_given() -> None:
    step = TeamStep(name="sub", file="x.yaml", inputs={"topic": "On {text}"})
    spec = team(agent("a"), step, inputs=INPUTS)
    children = {"sub": child_plan(outputs={"answer": "<{in}>"})}
    known = Foresight(plan(spec, children=children), {"text": TEXT})
    inner = known.child(known.nodes[1])
    assert inner is not None
    assert inner.given("topic").size.most == 43
    answer = text_bytes(50) + 2 + len("answer") + 8
    assert size_of(known, "sub").most == answer


def test_a_team_without_outputs_gives_what_its_last_steps_give() -> None:
    step = TeamStep(name="sub", file="x.yaml", inputs={"topic": "x"})
    known = Foresight(plan(team(agent("a"), step), children={"sub": child_plan()}), {})
    assert size_of(known, "sub").most == text_bytes(50) + len("in") + 8


def test_a_team_whose_plan_is_not_here_is_unknown() -> None:
    step = TeamStep(name="sub", file="x.yaml", inputs={})
    assert size_of(ahead(agent("a"), step), "sub").most is None


# earlier runs


def record(status: WorkflowStatus, *attempts: AttemptRecord) -> RunRecord:
    result = StepResult(agent_id="a", status=AgentStatus.COMPLETED, execution_time=4.0)
    return RunRecord(
        run_id="r",
        team="t",
        status=status,
        plan=ArtifactRef(sha256="0" * 64, size_bytes=1),
        budget=Decimal(1),
        cost=Decimal(0),
        served=Decimal(0),
        uncertain=Decimal(0),
        results=(result,),
        attempts=attempts,
    )


def attempt(unit: str, number: int, answer: int, **more: Any) -> AttemptRecord:
    values: dict[str, Any] = {"outcome": "completed", "state": "settled", "cost": Decimal("0.01")}
    return AttemptRecord(
        step=unit,
        number=number,
        provider="p",
        model="m",
        reserved=Decimal("0.02"),
        usage=Usage(10, answer),
        **{**values, **more},
    )


def test_earlier_runs_that_gave_an_answer_count() -> None:
    first = record(WorkflowStatus.COMPLETED, attempt("a[0]", 1, 10), attempt("a[1]", 1, 30))
    second = record(
        WorkflowStatus.PARTIALLY_COMPLETED,
        attempt("a", 1, 3, outcome="StreamInterrupted", state="uncertain"),
        attempt("a", 2, 20),
        attempt("a", 3, 0, state="released", cost=Decimal(0)),
    )
    found = usual([first, second, record(WorkflowStatus.FAILED, attempt("a", 1, 999))])
    assert found.runs == 2
    assert found.steps["a"] == UsualStep(Decimal(2), 20, 4.0, Decimal("0.02"), Decimal("1.5"))


def items_asked(*runs: tuple[AttemptRecord, ...]) -> Decimal:
    return usual([record(WorkflowStatus.COMPLETED, *run) for run in runs]).steps["a"].items


def test_items_are_counted_once_whatever_was_called_for_them() -> None:
    inner = (attempt("a[3]", 1, 9), attempt("a[3].2.1", 1, 9), attempt("a[3]", 2, 9))
    assert items_asked(inner) == 1
    assert items_asked((*inner, attempt("a[30].2.1", 1, 9), attempt("other[5]", 1, 9))) == 2
    assert items_asked((attempt("a", 1, 9), attempt("a.2.1", 1, 9)), ()) == Decimal("0.5")


def test_a_slice_has_as_many_items_as_calls_and_what_was_not_sent_has_none() -> None:
    part = SlicePart(run_id="r/s", calls=200)
    sliced = attempt("a[0..199]", 1, 900, part=part)
    unsent = attempt("a[201]", 1, 0, state="released", cost=Decimal(0))
    assert items_asked((sliced, attempt("a[200]", 1, 9), unsent)) == 201


def test_calls_of_a_free_model_count_and_answers_that_were_reused_do_not() -> None:
    free = {"cost": Decimal(0)}
    asked = (attempt("a[0]", 1, 10, **free), attempt("a[1]", 1, 30, **free))
    reused = attempt("a[2]", 1, 5, reused_from="r0/a#1", **free)
    failed = attempt("a[3]", 1, 0, outcome="BadRequest", **free).model_copy(
        update={"usage": Usage()}
    )
    found = usual([record(WorkflowStatus.COMPLETED, *asked, reused, failed)]).steps["a"]
    assert found == UsualStep(Decimal(2), 20, 4.0, Decimal(0), Decimal(3))


def test_no_earlier_run_is_no_guess() -> None:
    assert usual([]) == Usual()


def usual_of_each(calls: str, items: str) -> Usual:
    step = UsualStep(Decimal(calls), 11, 6.0, Decimal("0.1"), Decimal(items))
    return Usual(3, {"each": step})


def known_of_each(foresight: Foresight) -> UsualStep | None:
    (node,) = [node for node in foresight.nodes if node.name == "each"]
    return foresight.known(node)


def test_a_guess_at_a_number_is_that_of_earlier_runs_within_its_bound() -> None:
    seen = usual_of_each(calls="12.6", items="4.2")
    open_end = ahead(listing({"type": "array"}), each("agents.a.output"), usual=seen)
    assert items_of(open_end, "each").likely == 4
    assert items_of(ahead(each("inputs.things"), usual=seen), "each").likely == 2
    assert open_end.answer_tokens(open_end.nodes[1]) == 11


def test_what_earlier_runs_used_is_that_of_the_items_of_now() -> None:
    seen = usual_of_each(calls="12", items="8")
    found = known_of_each(ahead(each("inputs.things"), usual=seen))
    assert found == UsualStep(Decimal(3), 11, 1.5, Decimal("0.025"), Decimal(2))
    none = known_of_each(ahead(each("inputs.things.filter(t, t.name == 'ant')"), usual=seen))
    assert none is not None
    assert none.calls == none.cost == none.items == 0
    assert none.seconds == 0


def test_a_guess_from_earlier_runs_leaves_their_means_as_they_are() -> None:
    seen = usual_of_each(calls="0.4", items="0.2")
    found = known_of_each(ahead(listing({"type": "array"}), each("agents.a.output"), usual=seen))
    assert found == seen.steps["each"]


def test_a_list_that_was_always_empty_tells_nothing_of_its_items() -> None:
    seen = usual_of_each(calls="0", items="0")
    assert known_of_each(ahead(each("inputs.things"), usual=seen)) is None
    bounded = ahead(listing(MANY), each("agents.a.output"), usual=seen)
    assert items_of(bounded, "each").likely == 7
    plain = Usual(1, {"each": seen.steps["each"]})
    assert known_of_each(ahead(agent("each"), usual=plain)) == seen.steps["each"]

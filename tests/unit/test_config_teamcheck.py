"""Rules over the whole team: names, cycles, what a step may read. Pure, without files."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.teams import (
    ApprovalStep,
    ForEachSpec,
    InputSpec,
    ModelStep,
    OutputSpec,
    RepeatSpec,
    SetStep,
    StepSpec,
    TeamSpec,
    TeamStep,
)
from rules.reach import Edges, find_cycles, reach
from rules.teamcheck import Draft, check_draft, check_team

pytestmark = pytest.mark.unit

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "number"}, "why": {"type": "string"}},
}


def model(name: str, prompt: str = "x", *needs: str, **more: Any) -> ModelStep:
    required = tuple(need for need in needs if not need.endswith("?"))
    optional = tuple(need[:-1] for need in needs if need.endswith("?"))
    return ModelStep(
        name=name,
        prompt_template=prompt,
        dependencies=required,
        optional_dependencies=optional,
        **more,
    )


def scored(name: str, prompt: str = "x", *needs: str) -> ModelStep:
    return model(name, prompt, *needs, output=OutputSpec(kind="json", schema_=SCHEMA))


def said(*steps: StepSpec, **more: Any) -> list[str]:
    team = TeamSpec(name="t", agents=steps, **more)
    return [f"{'.'.join(map(str, f.path))}: {f.message}" for f in check_team(team)]


def test_D5_all_at_once() -> None:
    found = said(
        model("a", "x", "b", "z"),
        model("b", "x", "a"),
        model("c", "x", "c"),
        model("c"),
    )
    assert found == [
        'agents.3.name: there is already a step "c" (agents[2])',
        'agents.0.dependencies: no step named "z".',
        'agents.2.dependencies: "c" cannot wait for itself',
        "agents.0.dependencies: steps wait in a circle: a → b → a",
    ]


def test_a_dependency_on_an_input_is_explained() -> None:
    (found,) = said(model("a", "{x}", "x"), inputs={"x": InputSpec()})
    assert found.endswith("It is an input: inputs are there from the start, leave it out.")


def test_a_dependency_is_named_once() -> None:
    assert said(model("a"), model("b", "x", "a", "a?")) == [
        'agents.1.dependencies: "a" is named twice'
    ]


def test_inputs_and_steps_share_their_names() -> None:
    (found,) = said(model("x"), inputs={"x": InputSpec()})
    assert found == 'agents.0.name: "x" is an input too: prompts cannot tell them apart'


def test_what_is_read_must_be_waited_for_however_indirectly() -> None:
    assert said(model("a"), model("b", "x", "a"), model("c", "{a}{b}", "b")) == []
    (found,) = said(model("a"), model("b", "{a}"))
    assert found == (
        'agents.1.prompt_template: {a} is read but not waited for: add "a" to dependencies'
    )


def test_what_may_be_missing_is_written_with_a_question_mark() -> None:
    assert said(model("a"), model("b", "{a?}", "a?")) == []
    assert said(model("a"), model("b", "{a?}", "a")) == []
    (found,) = said(scored("a"), model("b", "{a.why}", "a?"))
    assert found.endswith('"a" may be skipped or have failed: write {a.why?}, it is empty then')
    (found,) = said(model("a"), model("b", "x", "a?"), model("c", "{a}", "b"))
    assert "write {a?}" in found
    assert said(model("a"), model("b", "x", "a?"), model("c", "{a}", "b", "a")) == []


def test_a_step_cannot_read_itself() -> None:
    assert said(model("a", "{a}")) == ["agents.0.prompt_template: {a}: a step cannot read itself"]


def test_D31_an_unknown_placeholder_is_a_clear_error() -> None:
    (found,) = said(model("a"), model("b", "{aa}", "a"), inputs={"aaa": InputSpec()})
    assert found.startswith("agents.1.prompt_template: unknown name in {aa}. Did you mean")


def test_fields_are_held_against_schemas() -> None:
    assert said(scored("a"), model("b", "{a.score} {a}", "a")) == []
    (found,) = said(scored("a"), model("b", "{a.scor}", "a"))
    assert 'has no field "scor". Did you mean "score"?' in found
    (found,) = said(model("a"), model("b", "{a.x}", "a"))
    assert "a is a string" in found
    (found,) = said(model("a", "{x.y}"), inputs={"x": InputSpec()})
    assert "x is a string" in found
    tools = ({"name": "f"},)
    assert said(model("a", tools=tools), model("b", "{a.tool_calls}", "a")) == []


def test_conditions_read_what_was_waited_for() -> None:
    waits = SetStep(name="b", expression="agents.a.output", dependencies=("a",))
    assert said(model("a"), waits) == []
    (found,) = said(model("a"), SetStep(name="b", expression="agents.a.output"))
    assert found == ('agents.1.set: agents.a is read but not waited for: add "a" to dependencies')
    (found,) = said(scored("a"), model("b", "x", "a", when="agents.a.output.scor > 1"))
    assert found.startswith("agents.1.when: CEL: ")
    assert "scor" in found
    optional = model("b", "x", "a?", when="agents.a.status == 'completed'")
    assert said(model("a"), optional) == []


def test_all_problems_of_a_condition_come_at_once() -> None:
    assert len(said(model("a", when="inputs.x > 1 && agents.y.output == 2"))) == 2


def test_for_each_names_an_item_and_knows_its_fields() -> None:
    schema = {"type": "array", "items": SCHEMA}
    source = model("a", output=OutputSpec(kind="json", schema_=schema))
    each = ForEachSpec(item="it", in_="agents.a.output")
    assert said(source, model("b", "{it.why}", "a", for_each=each)) == []
    (found,) = said(source, model("b", "{it.wy}", "a", for_each=each))
    assert 'Did you mean "why"?' in found
    (found,) = said(source, model("b", "{it}", for_each=each))
    assert found.startswith("agents.1.for_each.in: agents.a is read but not waited for")
    (found,) = said(source, model("it"), model("b", "{it}", "a", "it", for_each=each))
    assert found.startswith('agents.2.for_each.item: "it" is a step too')
    many = scored("b", "{it}", "a").model_copy(update={"for_each": each})
    assert said(source, many, model("c", "{b.0.why}", "b")) == []
    assert "is a list" in said(source, many, model("c", "{b.why}", "b"))[0]


def test_repeat_sees_the_round_before() -> None:
    def memo(prompt: str, **repeat: Any) -> ModelStep:
        spec = {"until": "agents.judge.output.score > 8.0", "max": 3, "with_": ("judge",)}
        return model("memo", prompt, repeat=RepeatSpec(**{**spec, **repeat}))

    judge = scored("judge", "{memo}", "memo")
    assert said(memo("{judge.why?} {memo?}"), judge) == []
    (found,) = said(memo("{judge.why}"), judge)
    assert "the first round has no {judge.why}: write {judge.why?}" in found
    found_all = said(memo("x", with_=("judge", "memo", "nobody")), judge)
    assert found_all == [
        'agents.0.repeat.with: "memo" is repeated anyway: leave it out',
        'agents.0.repeat.with: no step named "nobody".',
    ]
    (found,) = said(memo("x"), scored("judge"))
    assert found == (
        'agents.0.repeat.with: "judge" does not depend on "memo", so it is no part of its round'
    )


def test_what_is_repeated_is_so_with_one_step_and_whole() -> None:
    def head(name: str, *members: str) -> ModelStep:
        return model(name, repeat=RepeatSpec(until="false", max=2, with_=members))

    (found,) = said(head("a", "j"), head("b", "j"), model("j", "x", "a", "b"))
    assert found == (
        'agents.1.repeat.with: "j" is repeated with "a" already, it cannot be with "b"'
    )
    between = model("mid", "x", "a"), model("j", "x", "mid")
    (found,) = said(head("a", "j"), *between)
    assert found == (
        'agents.0.repeat.with: "mid" waits for "a", and what is repeated with "a" waits for "mid": '
        "it has to be repeated with it too"
    )
    assert said(head("a", "j", "mid"), *between) == []
    inner = model("i", "x", "o", repeat=RepeatSpec(until="false", max=2, with_=("l",)))
    assert said(head("o", "i"), inner, model("l", "x", "i")) == []


def test_catch_names_another_step_which_may_read_the_failed_one() -> None:
    assert said(model("a", catch="h"), model("h", "{a?}")) == []
    (found,) = said(model("a", catch="h"), model("h", "{a}"))
    assert "write {a?}" in found
    assert said(model("a", catch="a")) == ['agents.0.catch: "a" cannot catch its own failure']
    assert said(model("abc", catch="abd"), model("abde")) == [
        'agents.0.catch: no step named "abd". Did you mean "abde"?'
    ]
    assert said(model("abc", catch="abd")) == ['agents.0.catch: no step named "abd".']
    (found,) = said(model("a", "x", "h", catch="h"), model("h"))
    assert "steps wait in a circle: a → h → a" in found


def test_other_texts_are_templates_too() -> None:
    ask = ApprovalStep(name="b", ask="{a} ok?")
    child = TeamStep(name="c", file="x.yaml", inputs={"p": "{a}", "n": 3})
    assert [line.split(":")[0] for line in said(model("a"), ask, child)] == [
        "agents.1.approval.ask",
        "agents.2.inputs.p",
    ]


def test_outputs_read_what_there_is() -> None:
    assert said(scored("a"), outputs={"x": "{a.why} {i}"}, inputs={"i": InputSpec()}) == []
    (found,) = said(scored("a"), outputs={"x": "{b}"})
    assert found.startswith("outputs.x: unknown name in {b}")
    assert "no field" in said(scored("a"), outputs={"x": "{a.y}"})[0]


def test_an_unreadable_step_silences_what_depends_on_it() -> None:
    steps = [model("a"), None, model("c", "{a} {b}", "b")]
    assert check_draft(Draft(steps, ["a", "b", "c"])) == []
    assert check_draft(Draft([model("a"), None, model("c", "{a}")], ["a", "b", "c"]))


# the graph


def test_cycles_are_found_once_each() -> None:
    graph = [
        Edges((1,)),
        Edges((2,)),
        Edges((), (0,)),
        Edges((0,)),
        Edges((5,)),
        Edges((4,)),
        Edges(),
    ]
    assert find_cycles(graph) == [[0, 1, 2, 0], [4, 5, 4]]


def test_a_long_chain_needs_no_stack() -> None:
    size = 5000
    chain = [Edges()] + [Edges((n,)) for n in range(size - 1)]
    assert find_cycles(chain) == []
    assert reach(chain).is_certain(size - 1, 0)
    assert find_cycles([Edges((size - 1,)), *chain[1:]])[0][0] == 0


@st.composite
def graphs(draw: st.DrawFn) -> list[Edges]:
    size = draw(st.integers(1, 8))
    sets = st.sets(st.integers(0, size - 1), max_size=3)
    return [Edges(tuple(draw(sets) - {n}), tuple(draw(sets) - {n})) for n in range(size)]


@given(graphs())
def test_cycles_are_cycles_and_none_is_left(graph: list[Edges]) -> None:
    cycles = find_cycles(graph)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[step].all for step, after in pairwise(cycle))
    cut = {step for cycle in cycles for step in cycle}
    left = [
        Edges(tuple(set(edges.all) - cut)) if n not in cut else Edges()
        for n, edges in enumerate(graph)
    ]
    assert find_cycles(left) == []


@given(graphs())
def test_reach_is_what_walking_finds(graph: list[Edges]) -> None:
    acyclic = [
        Edges(tuple(n for n in e.required if n < at), tuple(n for n in e.optional if n < at))
        for at, e in enumerate(graph)
    ]

    def walk(step: int, certain: bool) -> set[int]:
        edges = acyclic[step].required if certain else acyclic[step].all
        return {other for near in edges for other in (near, *walk(near, certain))}

    closure = reach(acyclic)
    for step in range(len(graph)):
        for other in range(len(graph)):
            assert closure.is_certain(step, other) == (other in walk(step, True))
            assert closure.is_possible(step, other) == (other in walk(step, False))

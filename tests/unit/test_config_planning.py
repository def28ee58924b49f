"""A plan's nodes and pages: indexes, sizes, timeouts, and pages that never grow too large."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from activities import prompts
from contracts.plans import Candidate, PersonaProfile, Plan, PlanPage, StepNode
from contracts.prices import Price, Rate
from contracts.teams import (
    EndStep,
    GateStep,
    InputSpec,
    ModelParams,
    ModelStep,
    OutputSpec,
    SetStep,
    StepSpec,
    TeamSpec,
)
from rules import planning

pytestmark = pytest.mark.unit


def plan(*steps: StepSpec, personas: Any = None, **more: Any) -> Plan:
    return Plan(team=TeamSpec(name="t", agents=steps, **more), personas=personas or {})


def node(step: ModelStep, **more: Any) -> StepNode:
    (only,) = planning.nodes(plan(step, **more))
    return only


def candidate(model: str) -> Candidate:
    rate = Rate(base=Decimal("2.5"))
    price = Price(model=model, input=rate, output=rate, source="genai-prices", version="1")
    return Candidate(provider="openai", model=model, queue="callboard-openai", price=price)


def test_nodes_name_others_by_index_once_per_occurrence() -> None:
    steps = (
        ModelStep(name="a", prompt_template="{x}{x}"),
        ModelStep(name="b", prompt_template="{y}", optional_dependencies=("a",)),
        ModelStep(
            name="c",
            prompt_template="é{a}{b.k?}{x}{a}{{}}",
            dependencies=("a",),
            optional_dependencies=("b",),
            when="agents.b.status == 'completed' && inputs.y == '1'",
        ),
    )
    a, b, c = planning.nodes(plan(*steps, inputs={"x": InputSpec(), "y": InputSpec()}))
    assert (a.uses, a.uses_inputs, a.inline) == ((), ("x", "x"), False)
    assert (b.uses_inputs, b.optional_dependencies, b.inline) == (("y",), (0,), True)
    assert (c.dependencies, c.optional_dependencies) == ((0,), (1,))
    assert (c.uses, c.uses_inputs) == ((0, 1, 0), ("x",))
    assert (c.when_uses, c.when_uses_inputs) == ((1,), ("y",))
    assert c.prompt_bytes == len("é{}".encode())


def test_expressions_use_what_they_read_and_make_it_inline() -> None:
    steps = (
        ModelStep(name="a", prompt_template="x"),
        SetStep(name="b", expression="agents.a.output + inputs.x", dependencies=("a",)),
        GateStep(name="c", expression="agents.b.output != ''", dependencies=("b",)),
        EndStep(name="d", status="failed", because="no", dependencies=("c",)),
    )
    a, b, c, d = planning.nodes(plan(*steps, inputs={"x": InputSpec()}))
    assert (a.inline, b.inline, c.inline) == (True, True, False)
    assert (b.kind, b.expression, b.uses, b.uses_inputs) == (
        "set",
        "agents.a.output + inputs.x",
        (0,),
        ("x",),
    )
    assert (c.kind, c.uses) == ("gate", (1,))
    assert (d.kind, d.end_status, d.because) == ("end", "failed", "no")


@pytest.mark.parametrize(
    ("stated", "first", "idle"),
    [
        ({}, 120, 60),
        ({"timeout": 30.0}, 30, 30),
        ({"timeout": 90.0}, 90, 60),
        ({"timeout": 90.0, "first_token_timeout": 100.0, "idle_timeout": 5.0}, 100, 5),
    ],
)
def test_timeouts(stated: dict[str, float], first: float, idle: float) -> None:
    got = node(ModelStep(name="a", prompt_template="x", **stated))
    assert (got.first_token_timeout, got.idle_timeout) == (first, idle)


def test_max_tokens_are_the_step_s_or_the_persona_s_or_4096() -> None:
    personas = {"p": PersonaProfile(name="p", max_tokens=700)}
    step = ModelStep(name="a", prompt_template="x", persona="p")
    stated = step.model_copy(update={"llm_config": ModelParams(max_tokens=50)})
    assert node(stated, personas=personas).max_tokens == 50
    assert node(step, personas=personas).max_tokens == 700
    assert node(step).max_tokens == 4096


def test_prompt_bytes_count_everything_that_is_sent() -> None:
    personas = {"p": PersonaProfile(name="p", system="s" * 500)}
    plain = ModelStep(name="a", prompt_template="x" * 100, persona="p")
    own = plain.model_copy(update={"llm_config": ModelParams(system="é" * 10)})
    assert node(plain).prompt_bytes == 100
    assert node(plain, personas=personas).prompt_bytes >= 600
    assert 120 <= node(own, personas=personas).prompt_bytes < 200
    tool = {"name": "f", "description": "d" * 300, "parameters": [{"name": "n" * 200}]}
    assert node(plain.model_copy(update={"tools": (tool,)})).prompt_bytes >= 100 + 500 + 200
    schema = {"type": "object", "description": "ä" * 200}
    structured = plain.model_copy(update={"output": OutputSpec(kind="json", schema_=schema)})
    got = node(structured)
    assert got.prompt_bytes >= 100 + len(to_json(schema))
    assert (got.structured, got.repairs) == (True, 1)
    assert (node(plain).structured, node(plain).repairs) == (False, 0)


def test_candidates_are_shared_by_index() -> None:
    base = plan(
        ModelStep(name="a", prompt_template="x", persona="p"),
        ModelStep(name="b", prompt_template="x", persona="q"),
        outputs={"o": "{b}"},
    )
    full = base.model_copy(
        update={
            "candidates": (candidate("m1"), candidate("m2")),
            "step_candidates": {"a": (0, 1), "b": (1,)},
        }
    )
    (only,) = planning.pages(full)
    assert only.header is not None
    assert [c.model for c in only.header.candidates] == ["m1", "m2"]
    assert [n.candidates for n in only.nodes] == [(0, 1), (1,)]
    assert only.header.personas == ("p", "q")
    assert only.header.has_outputs
    assert (only.header.steps, only.header.pages) == (2, 1)


def wide(size: int) -> Plan:
    """Return a team whose last step waits for all the others and reads them."""
    names = [f"worker_{n:04}" for n in range(size - 1)]
    steps: list[StepSpec] = [
        ModelStep(name=name, prompt_template="Do {topic}", when="inputs.topic != ''")
        for name in names
    ]
    prompt = "\n".join(f"{{{name}}}" for name in names)
    steps.append(ModelStep(name="join", prompt_template=prompt, dependencies=tuple(names)))
    return plan(*steps, inputs={"topic": InputSpec()})


def test_a_join_over_500_agents_fits_in_pages() -> None:
    large = wide(500)
    pages = planning.pages(large)
    assert len(pages) > 1
    assert all(len(to_json(page)) <= planning.PAGE_BYTES for page in pages)
    assert [page.number for page in pages] == list(range(len(pages)))
    assert [page.header is not None for page in pages] == [True] + [False] * (len(pages) - 1)
    assert pages[0].header is not None
    assert (pages[0].header.pages, pages[0].header.steps) == (len(pages), 500)
    everything = [n for page in pages for n in page.nodes]
    assert [n.name for n in everything] == [step.name for step in large.team.agents]
    assert everything[-1].dependencies == tuple(range(499))
    assert everything[-1].uses == tuple(range(499))
    assert everything == list(planning.nodes(large))


def test_pages_survive_the_wire() -> None:
    for page in planning.pages(wide(60)):
        assert PlanPage.model_validate_json(to_json(page)) == page


def test_one_page_is_the_same_as_in_all() -> None:
    large = wide(120)
    pages = planning.pages(large)
    assert planning.page(large, 1) == pages[1]
    for number in (-1, len(pages)):
        with pytest.raises(IndexError):
            planning.page(large, number)


def test_a_header_that_fills_a_page_stands_alone() -> None:
    many = tuple(candidate(f"model-{n}") for n in range(60))
    full = plan(ModelStep(name="a", prompt_template="x")).model_copy(update={"candidates": many})
    first, second = planning.pages(full)
    assert first.nodes == ()
    assert [n.name for n in second.nodes] == ["a"]
    assert first.header is not None
    assert first.header.pages == 2


def test_a_node_larger_than_a_page_is_refused() -> None:
    with pytest.raises(planning.PlanTooLarge, match="gather them in steps between") as error:
        planning.pages(wide(3000))
    assert error.value.step == 2999


def test_unused_inputs() -> None:
    names = ("prompt", "when", "set", "output", "none")
    steps = (
        ModelStep(name="a", prompt_template="{prompt}", when="inputs.when == ''"),
        SetStep(name="b", expression="inputs.set"),
    )
    inputs = {name: InputSpec() for name in names}
    assert planning.unused_inputs(plan(*steps, inputs=inputs, outputs={"o": "{output}"})) == [
        "none"
    ]


PARAMETERS = [{"name": f"n{'x' * 60}{n}", "type": "string"} for n in range(20)]
SCHEMA = {"type": "object", "properties": {"ü": {"type": "string"}}}
TOOLS: tuple[dict[str, Any], ...] = (
    {"name": "f", "description": "é" * 50, "parameters": PARAMETERS},
    {"type": "function", "function": {"name": "g", "parameters": SCHEMA}},
    {"name": "h", "input_schema": {"type": "object", "properties": {}}},
    {"name": "bare"},
)


@given(
    prompt=st.text(st.characters(exclude_characters="{}", codec="utf-8"), min_size=1, max_size=80),
    value=st.text(st.characters(codec="utf-8"), max_size=80),
    own=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    persona=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    tools=st.lists(st.sampled_from(TOOLS), max_size=4),
    structured=st.booleans(),
)
def test_no_request_is_larger_than_its_bound(
    prompt: str,
    value: str,
    own: str | None,
    persona: str | None,
    tools: list[dict[str, Any]],
    structured: bool,
) -> None:
    schema = {"type": "object", "properties": {"ä": {"description": prompt}}}
    step = ModelStep(
        name="a",
        persona="p",
        prompt_template=f"{prompt}{{x}}{prompt}{{x}}",
        llm_config=ModelParams(system=own),
        tools=tuple(tools),
        output=OutputSpec(kind="json", schema_=schema) if structured else OutputSpec(),
    )
    made = plan(
        step,
        personas={"p": PersonaProfile(name="p", system=persona)},
        inputs={"x": InputSpec(type="text")},
    )
    (only,) = planning.nodes(made)
    request = prompts.build_request(made, step, {"x": value}, 10, {})
    values = sum(len(value.encode()) for _ in only.uses_inputs)
    assert prompts.request_bytes(request) <= only.prompt_bytes + values

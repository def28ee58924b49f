"""A plan's graph as data: what the run workflow knows of each step, in pages of bounded size.

Pure functions of a `Plan`: any worker derives the same pages from the same artifact. Steps name
each other by their index in the team, and the inputs of a prompt are listed once per occurrence,
so that the workflow can bound a rendered prompt without ever seeing its text:

    tokens of the request <= prompt_bytes + the sizes of uses and uses_inputs

(`rules.bounds`, which also allows for what vendors add around messages). What they add for tools
and schemas is in the allowance below.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from contracts.plans import (
    DEFAULT_MAX_TOKENS,
    PersonaProfile,
    Plan,
    PlanHeader,
    PlanPage,
    SharedHeader,
    StepNode,
)
from contracts.teams import (
    AgentStep,
    ApprovalStep,
    EndStep,
    GateStep,
    ModelStep,
    SetStep,
    StepSpec,
    TeamSpec,
    TeamStep,
    WaitStep,
)
from rules import conditions, templates
from rules.fixedtext import TOOLS_ALLOWANCE as TOOLS_ALLOWANCE
from rules.fixedtext import fixed_bytes
from rules.step_files import file_values, large_files, prefix_digest

PAGE_BYTES = 12_000
"""JSON bytes of a page. A header larger than that stands alone on page 0."""

FIRST_TOKEN_S = 120.0
IDLE_S = 60.0
"""Seconds to wait for the first and for the next piece, unless the step or its `timeout` say."""


class PlanTooLarge(ValueError):
    """One step alone does not fit on a page; `step` is its index."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def page(plan: Plan, number: int) -> PlanPage:
    """Return one page. Raises `IndexError` for a number that the plan does not have."""
    if number < 0:
        raise IndexError(f"there is no page {number}")
    return pages(plan)[number]


def pages(plan: Plan) -> tuple[PlanPage, ...]:
    """Return all pages: page 0 with the header, every node once, in the team's order.

    Raises `PlanTooLarge` where one node needs more than a page.
    """
    cut = _cut(nodes(plan), len(to_json(header(plan, 1))))
    top = header(plan, len(cut))
    return tuple(
        PlanPage(number=n, header=top if n == 0 else None, nodes=tuple(part))
        for n, part in enumerate(cut)
    )


def header(plan: Plan, page_count: int) -> PlanHeader:
    """Return what the workflow needs beside the steps."""
    team = plan.team
    return PlanHeader(
        team=team.name,
        steps=len(team.agents),
        pages=page_count,
        candidates=tuple(c.model_copy(update={"options": {}}) for c in plan.candidates),
        retry=plan.retry,
        cost_budget=team.cost_budget,
        on_budget=team.on_budget,
        max_parallel_agents=team.max_parallel_agents,
        timeout=team.timeout,
        allow_partial_completion=team.allow_partial_completion,
        has_outputs=bool(team.outputs),
        output_uses=_output_uses(team),
        personas=tuple(sorted(_personas(plan))),
        files=large_files(team),
        shared=_shared_header(plan),
    )


def _shared_header(plan: Plan) -> SharedHeader | None:
    shared = plan.team.shared_context
    if shared is None:
        return None
    return SharedHeader(
        files=shared.files,
        tokens=plan.shared_tokens,
        cache=shared.cache,
        ttl=shared.ttl,
        keep=shared.keep,
        lasts=shared.lasts,
    )


def _output_uses(team: TeamSpec) -> tuple[int, ...]:
    """Return the steps that the team's outputs read, each once."""
    index = {step.name: number for number, step in enumerate(team.agents)}
    read, _ = _references(list(team.outputs.values()))
    return tuple(sorted({index[name] for name in read if name in index}))


def nodes(plan: Plan) -> tuple[StepNode, ...]:
    """Return every step as the workflow sees it.

    The team must have been checked (rules.teamcheck): an unknown name raises KeyError here.
    """
    index = {step.name: number for number, step in enumerate(plan.team.agents)}
    reads = [_reads(step, index, plan) for step in plan.team.agents]
    inline = {name for read in reads for name in (*read.when_agents, *read.expression_agents)}
    return tuple(
        _node(step, read, index, plan, step.name in inline)
        for step, read in zip(plan.team.agents, reads, strict=True)
    )


def unused_inputs(plan: Plan) -> list[str]:
    """Return the inputs that no prompt, condition or output reads."""
    index = {step.name: number for number, step in enumerate(plan.team.agents)}
    used = set(_references(list(plan.team.outputs.values()))[0])
    for step in plan.team.agents:
        read = _reads(step, index, plan)
        used.update(read.inputs, read.when_inputs, read.expression_inputs)
    return [name for name in plan.team.inputs if name not in used]


def _cut(all_nodes: Iterable[StepNode], header_bytes: int) -> list[list[StepNode]]:
    """Fill pages in order. The first begins with the header's bytes already taken."""
    frame = len(to_json(PlanPage(number=10_000))) + 8
    cut: list[list[StepNode]] = [[]]
    taken = frame + header_bytes + 8
    for number, node in enumerate(all_nodes):
        size = len(to_json(node)) + 1
        if frame + size > PAGE_BYTES:
            raise PlanTooLarge(
                f"this step needs {size:,} bytes of the plan, {PAGE_BYTES - frame:,} at most:"
                " it waits for or reads too many steps; gather them in steps between",
                number,
            )
        if taken + size > PAGE_BYTES:
            cut.append([])
            taken = frame
        cut[-1].append(node)
        taken += size
    return cut


@dataclass(frozen=True, slots=True)
class _Reads:
    """Names that a step's texts read, in order, once per occurrence."""

    agents: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    literal_bytes: int = 0
    when_agents: tuple[str, ...] = ()
    when_inputs: tuple[str, ...] = ()
    expression_agents: tuple[str, ...] = ()
    expression_inputs: tuple[str, ...] = ()


def _reads(step: StepSpec, index: Mapping[str, int], plan: Plan) -> _Reads:
    when = _expression(step.when, index, plan) if step.when is not None else ((), ())
    if isinstance(step, SetStep | GateStep):
        agents, inputs = _expression(step.expression, index, plan)
        return _Reads(agents, inputs, 0, *when, agents, inputs)
    references, literal_bytes = _references(_texts(step))
    return _Reads(
        tuple(name for name in references if name in index),
        tuple(name for name in references if name in plan.team.inputs),
        literal_bytes,
        *when,
        *_further_expressions(step, index, plan),
    )


def _expression(
    source: str, index: Mapping[str, int], plan: Plan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    expression = conditions.check(source, plan.team.inputs, index, {})
    return expression.agents, expression.inputs


def _further_expressions(
    step: StepSpec, index: Mapping[str, int], plan: Plan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the agents and inputs that the conditions beside `when` read."""
    sources: list[str] = []
    if isinstance(step, ModelStep | AgentStep):
        sources += [step.for_each.in_] if step.for_each is not None else []
        sources += [step.repeat.until] if step.repeat is not None else []
    found = [_expression(source, index, plan) for source in sources]
    return tuple(n for agents, _ in found for n in agents), tuple(n for _, i in found for n in i)


def _texts(step: StepSpec) -> list[str]:
    """Return the templates that a step renders."""
    match step:
        case ModelStep() | AgentStep():
            return [step.prompt_template]
        case ApprovalStep():
            return [step.ask]
        case TeamStep():
            return [text for text in step.inputs.values() if isinstance(text, str)]
    return []


def _references(texts: list[str]) -> tuple[list[str], int]:
    parsed = [templates.parse(text) for text in texts]
    names = [reference.name for template in parsed for reference in template.references]
    return names, sum(template.literal_bytes for template in parsed)


def _node(
    step: StepSpec, read: _Reads, index: Mapping[str, int], plan: Plan, inline: bool
) -> StepNode:
    values: dict[str, Any] = {
        "name": step.name,
        "kind": step.kind,
        "dependencies": _indexes(step.dependencies, index),
        "optional_dependencies": _indexes(step.optional_dependencies, index),
        "when": step.when,
        "when_uses": _indexes(read.when_agents, index),
        "when_uses_inputs": read.when_inputs,
        "uses": _indexes(read.agents, index),
        "uses_inputs": read.inputs,
        "inline": inline,
        "priority": step.priority,
    }
    if step.catch is not None:
        values["handler"] = index[step.catch]
    match step:
        case ModelStep():
            values |= _model_values(step, read, plan)
            values |= _for_each_values(step, index, plan) if step.for_each else {}
            values |= _repeat_values(step, index, plan) if step.repeat else {}
        case SetStep() | GateStep():
            values["expression"] = step.expression
        case EndStep():
            values |= {"end_status": step.status, "because": step.because}
        case TeamStep():
            values["cost_limit"] = step.cost_limit
            values["child_plan"] = plan.child_plans.get(step.name)
        case AgentStep():
            values |= _agent_values(step, read, plan)
            values |= _for_each_values(step, index, plan) if step.for_each else {}
            values |= _repeat_values(step, index, plan) if step.repeat else {}
        case ApprovalStep():
            values |= {
                "choices": step.choices,
                "answer_timeout": step.timeout,
                "on_timeout": step.on_timeout,
            }
        case WaitStep():
            values["seconds"] = step.seconds
    return StepNode(**values)


def _agent_values(step: AgentStep, read: _Reads, plan: Plan) -> dict[str, Any]:
    """Return what is known of an agent within a team; its own plan has the rest."""
    limit = {} if step.cost_limit is None else {"cost_limit": step.cost_limit}
    child_plan = plan.child_plans.get(step.name)
    form = plan.agent_forms.get(step.name)
    shared = file_values(step, plan, form.before, tools=form.tools) if form else {}
    return {"child_plan": child_plan, "prompt_bytes": read.literal_bytes, **limit, **shared}


def _for_each_values(
    step: ModelStep | AgentStep, index: Mapping[str, int], plan: Plan
) -> dict[str, Any]:
    spec = step.for_each
    assert spec is not None
    agents, inputs = _expression(spec.in_, index, plan)
    names, _ = _references([step.prompt_template])
    return {
        "for_each": spec.in_,
        "for_each_uses": _indexes(agents, index),
        "for_each_inputs": inputs,
        "item": spec.item,
        "item_uses": names.count(spec.item),
        "max_parallel": spec.max_parallel,
        "min_success": spec.min_success,
    }


def _repeat_values(
    step: ModelStep | AgentStep, index: Mapping[str, int], plan: Plan
) -> dict[str, Any]:
    spec = step.repeat
    assert spec is not None
    agents, inputs = _expression(spec.until, index, plan)
    return {
        "until": spec.until,
        "until_uses": _indexes(agents, index),
        "until_inputs": inputs,
        "max_rounds": spec.max,
        "members": tuple(sorted(index[name] for name in spec.with_)),
    }


def _indexes(names: Iterable[str], index: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(index[name] for name in names)


def _model_values(step: ModelStep, read: _Reads, plan: Plan) -> dict[str, Any]:
    profile = plan.personas.get(step.persona or "", PersonaProfile(name=""))
    stated = (step.llm_config.max_tokens, profile.max_tokens)
    structured = step.output.kind == "json"
    return {
        "module": step.module,
        "persona": step.persona,
        "candidates": plan.step_candidates.get(step.name, ()),
        "max_retries": step.max_retries,
        "timeout": step.timeout,
        "first_token_timeout": step.first_token_timeout or min(step.timeout, FIRST_TOKEN_S),
        "idle_timeout": step.idle_timeout or min(step.timeout, IDLE_S),
        "cost_limit": step.cost_limit,
        "max_tokens": next((n for n in stated if n is not None), DEFAULT_MAX_TOKENS),
        "min_output_tokens": step.min_output_tokens,
        "on_interrupt": step.on_interrupt,
        "reuse": step.reuse,
        "structured": structured,
        "repairs": step.output.repairs if structured else 0,
        **file_values(
            step,
            plan,
            prefix_digest(step.tools, step.output.kind, step.output.schema_),
            tools=bool(step.tools),
        ),
        "prompt_bytes": (
            read.literal_bytes + fixed_bytes(step, profile) + plan.file_tokens.get(step.name, 0)
        ),
    }


def _personas(plan: Plan) -> set[str]:
    own = {step.persona for step in plan.team.agents if isinstance(step, ModelStep)}
    return {persona for persona in own if persona is not None}

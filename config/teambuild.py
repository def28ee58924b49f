"""From the file's models to contracts: short forms are spelled out, defaults filled in."""

from collections.abc import Collection
from typing import Any

from config.attachedmodel import SharedFile
from config.teammodel import (
    AgentStepFile,
    ApprovalStepFile,
    EndStepFile,
    ForEachFile,
    GateStepFile,
    InputFile,
    LlmConfigFile,
    ModelStepFile,
    OutputFile,
    RepeatFile,
    SetStepFile,
    StepFile,
    TeamHead,
    TeamStepFile,
    WaitStepFile,
)
from contracts.files import AttachedFile
from contracts.teams import (
    AgentStep,
    ApprovalStep,
    EndStep,
    FallbackSpec,
    ForEachSpec,
    GateStep,
    InputSpec,
    ModelParams,
    ModelStep,
    OutputSpec,
    RepeatSpec,
    SetStep,
    SharedContext,
    StepSpec,
    TeamSpec,
    TeamStep,
    WaitStep,
)


def build_team(
    head: TeamHead, steps: tuple[StepSpec, ...], shared: tuple[AttachedFile, ...] = ()
) -> TeamSpec:
    """Return the team of a file whose steps were built; `shared` are its shared context's files."""
    return TeamSpec(
        name=head.name,
        description=head.description,
        inputs={name: build_input(spec) for name, spec in head.inputs.items()},
        agents=steps,
        max_parallel_agents=head.max_parallel_agents,
        cost_budget=head.cost_budget,
        on_budget=head.on_budget,
        timeout=head.timeout,
        allow_partial_completion=head.allow_partial_completion,
        outputs=head.outputs,
        shared_context=_shared(head, shared),
    )


def _shared(head: TeamHead, files: tuple[AttachedFile, ...]) -> SharedContext | None:
    if not files:
        return None
    spelt = head.shared_context
    if not isinstance(spelt, SharedFile):
        return SharedContext(files=files)
    return SharedContext(
        files=files,
        cache=spelt.cache,
        ttl=spelt.ttl,
        keep=spelt.keep,
        lasts=spelt.ttl if "ttl" in spelt.model_fields_set else None,
    )


def build_input(spec: InputFile) -> InputSpec:
    """Return a typed input: required unless the file gives a default, null included."""
    return InputSpec(
        type=spec.type,
        description=spec.description,
        required="default" not in spec.model_fields_set,
        default=spec.default,
        enum=tuple(spec.enum) if spec.enum is not None else None,
    )


def build_step(step: StepFile, prompt: str = "", files: tuple[AttachedFile, ...] = ()) -> StepSpec:
    """Return a step of any kind; `prompt` is a model's or agent's template in strict syntax."""
    common = _common(step)
    match step:
        case ModelStepFile():
            return ModelStep(**common, **_model(step), prompt_template=prompt, files=files)
        case SetStepFile():
            return SetStep(**common, expression=step.set)
        case GateStepFile():
            return GateStep(**common, expression=step.gate)
        case EndStepFile():
            return EndStep(**common, status=step.end.status, because=step.end.because)
        case WaitStepFile():
            return WaitStep(**common, seconds=step.wait)
        case ApprovalStepFile():
            return _approval(step, common)
        case TeamStepFile():
            limit = step.cost_limit
            return TeamStep(**common, file=step.team, inputs=step.inputs, cost_limit=limit)
        case AgentStepFile():
            return AgentStep(
                **common,
                file=step.agent,
                prompt_template=prompt,
                cost_limit=step.cost_limit,
                for_each=_for_each(step.for_each),
                repeat=_repeat(step.repeat),
                shared_context=step.shared_context,
            )
    raise TypeError(f"{type(step).__name__} is no kind of step")


def unjudged(step: StepSpec, unread: Collection[str], name: str | None) -> StepSpec:
    """Return a step that was read without some of its keys, less what rests on those.

    What is left is for the check of the whole only: nothing is said of what cannot be known.
    """
    change: dict[str, Any] = {"name": name} if name is not None else {}
    if isinstance(step, ModelStep) and not _SHAPING.isdisjoint(unread):
        change["output"] = OutputSpec(kind="json")
    if isinstance(step, ModelStep | AgentStep) and not _REPEATING.isdisjoint(unread):
        change["prompt_template"] = ""
    return step.model_copy(update=change)


_SHAPING = frozenset({"output", "tools", "for_each"})
_REPEATING = frozenset({"for_each", "repeat"})


def _common(step: StepFile) -> dict[str, Any]:
    required = [name for name in step.dependencies if not name.endswith("?")]
    optional = [name.removesuffix("?") for name in step.dependencies if name.endswith("?")]
    return {
        "name": step.name,
        "description": step.description,
        "dependencies": tuple(required),
        "optional_dependencies": tuple(optional),
        "when": step.when,
        "priority": step.priority,
        "catch": step.catch,
    }


def _model(step: ModelStepFile) -> dict[str, Any]:
    return {
        "module": step.module,
        "persona": step.persona,
        "llm_config": _params(step.llm_config),
        "tools": tuple(step.tools),
        "max_retries": step.max_retries,
        "timeout": step.timeout,
        "first_token_timeout": step.first_token_timeout,
        "idle_timeout": step.idle_timeout,
        "cost_limit": step.cost_limit,
        "min_output_tokens": step.min_output_tokens,
        "on_interrupt": step.on_interrupt,
        "output": build_output(step.output),
        "fallback": tuple(FallbackSpec(**entry.model_dump()) for entry in step.fallback),
        "for_each": _for_each(step.for_each),
        "repeat": _repeat(step.repeat),
        "reuse": step.reuse,
        "shared_context": step.shared_context,
    }


def _params(config: LlmConfigFile) -> ModelParams:
    values = config.model_dump()
    return ModelParams(**{**values, "stop": tuple(config.stop) if config.stop else None})


def build_output(output: str | OutputFile) -> OutputSpec:
    """Return what an output's spelling stands for: text, any JSON, or a schema."""
    if isinstance(output, str):
        return OutputSpec(kind="json") if output == "json" else OutputSpec()
    return OutputSpec(kind="json", schema_=output.spelt_out(), repairs=output.repairs)


def _for_each(spec: ForEachFile | None) -> ForEachSpec | None:
    if spec is None:
        return None
    return ForEachSpec(
        item=spec.item,
        in_=spec.in_,
        max_parallel=spec.max_parallel,
        min_success=spec.min_success,
    )


def _repeat(spec: RepeatFile | None) -> RepeatSpec | None:
    if spec is None:
        return None
    return RepeatSpec(until=spec.until, max=spec.max, with_=tuple(spec.with_))


def _approval(step: ApprovalStepFile, common: dict[str, Any]) -> ApprovalStep:
    approval = step.approval
    return ApprovalStep(
        **common,
        ask=approval.ask,
        choices=tuple(approval.choices),
        timeout=approval.timeout,
        on_timeout=approval.on_timeout,
    )

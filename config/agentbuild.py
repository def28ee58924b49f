"""From the agent file's models to contracts: short forms spelled out, files made absolute."""

import shlex
from pathlib import Path
from typing import Any

from config.agentmodel import (
    AgentFile,
    BudgetFile,
    CaseFile,
    ExecutionFile,
    ExpectedToolFile,
    MetricFile,
    ModelFile,
    ObservabilityFile,
)
from config.agenttools import (
    AgentToolFile,
    BuiltinToolFile,
    FunctionToolFile,
    HttpToolFile,
    McpToolFile,
    PromptToolFile,
    ToolBaseFile,
    arguments_schema,
)
from config.teambuild import build_output
from contracts.agent_cases import AgentCase, ArgumentMatch, CaseMetric, ExpectedTool
from contracts.agents import (
    AgentBudget,
    AgentExecution,
    AgentModel,
    AgentObservability,
    ResponseFormat,
)
from contracts.base import Json
from contracts.teams import FallbackSpec, ModelParams
from contracts.tools import (
    AgentTool,
    BuiltinTool,
    Effect,
    FunctionTool,
    HttpTool,
    McpTool,
    PromptTool,
    ToolSpec,
)
from rules.templates import TemplateError, parse

_READING = frozenset({"read_file", "list_files", "fetch_url", "GET", "HEAD"})
_REPEATABLE = frozenset({"write_file", "PUT", "DELETE"})


def build_model(file: ModelFile) -> AgentModel:
    """Return who answers."""
    return AgentModel(
        persona=file.persona,
        provider=file.provider,
        params=ModelParams(
            model=file.name,
            temperature=file.temperature,
            max_tokens=file.max_tokens,
            top_p=file.top_p,
            stop=tuple(file.stop) if file.stop else None,
            seed=file.seed,
            reasoning_effort=file.reasoning_effort,
            thinking_budget=file.thinking_budget,
        ),
        fallback=tuple(FallbackSpec(**entry.model_dump()) for entry in file.fallback),
    )


def build_sections(
    execution: ExecutionFile, budget: BudgetFile, observability: ObservabilityFile
) -> dict[str, Any]:
    """Return the sections that are the same in file and contract, by their name in AgentSpec."""
    return {
        "execution": AgentExecution(**execution.model_dump()),
        "budget": AgentBudget(**budget.model_dump()),
        "observability": AgentObservability(**observability.model_dump()),
    }


def build_format(file: AgentFile) -> ResponseFormat | None:
    """Return what an answer must be; None for text."""
    output = build_output(file.response_format)
    if output.kind == "text":
        return None
    return ResponseFormat(schema_=output.schema_, repairs=output.repairs)


# tools


def template_names(texts: list[str]) -> dict[str, bool]:
    """Return the names that templates refer to; True where every use is optional."""
    names: dict[str, bool] = {}
    for text in texts:
        try:
            references = parse(text).references
        except TemplateError:
            continue
        for reference in references:
            names[reference.name] = names.get(reference.name, True) and reference.optional
    return names


def tool_texts(tool: ToolBaseFile) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the templates of a tool, each with its place below the tool."""
    match tool:
        case HttpToolFile():
            found: list[tuple[tuple[str | int, ...], str]] = [(("url",), tool.url)]
            found += [(("query", key), text) for key, text in tool.query.items()]
            return found + _body_texts(tool.body, ("body",))
        case PromptToolFile():
            return [(("prompt",), tool.prompt)]
        case AgentToolFile():
            return [(("ask",), tool.ask)]
    return []


def _body_texts(body: Json, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], str]]:
    if isinstance(body, str):
        return [(path, body)]
    if isinstance(body, dict):
        return [at for key, value in body.items() for at in _body_texts(value, (*path, key))]
    if isinstance(body, list):
        return [at for n, value in enumerate(body) for at in _body_texts(value, (*path, n))]
    return []


def tool_schema(tool: HttpToolFile | PromptToolFile | AgentToolFile) -> dict[str, Any]:
    """Return the schema of a tool's arguments: declared, or the texts that its templates read."""
    names = template_names([text for _, text in tool_texts(tool)])
    return arguments_schema(
        tool,
        {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
            "required": [name for name, optional in names.items() if not optional],
            "additionalProperties": False,
        },
    )


def build_tool(tool: ToolBaseFile, folder: Path) -> ToolSpec:
    """Return a declaration as it travels. `folder` is the agent file's, absolute."""
    common = _common(tool)
    match tool:
        case FunctionToolFile():
            return _function(tool, folder, common)
        case McpToolFile():
            return _mcp(tool, folder, common)
        case PromptToolFile():
            params = ModelParams(
                model=tool.model, temperature=tool.temperature, max_tokens=tool.max_tokens
            )
            return PromptTool(
                **common,
                parameters=tool_schema(tool),
                prompt=tool.prompt,
                persona=tool.persona,
                provider=tool.provider,
                params=params,
                cost_limit=tool.cost_limit,
            )
        case AgentToolFile():
            return AgentTool(
                **common,
                parameters=tool_schema(tool),
                file=str((folder / tool.agent).resolve()),
                ask=tool.ask,
                cost_limit=tool.cost_limit,
            )
        case HttpToolFile():
            return HttpTool(
                **common,
                parameters=tool_schema(tool),
                method=tool.method,
                url=tool.url,
                query=tool.query,
                headers=tool.headers,
                body=tool.body,
                allow=tuple(tool.allow),
                private=tool.private,
            )
        case BuiltinToolFile():
            return BuiltinTool(
                **common,
                builtin=tool.builtin,
                root=str((folder / tool.root).resolve()) if tool.root is not None else None,
                allow=tuple(tool.allow),
                private=tool.private,
            )
    raise TypeError(f"{type(tool).__name__} is no kind of tool")


def _common(tool: ToolBaseFile) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "effect": _effect(tool),
        "approval": tool.approval,
        "critical": tool.critical,
        "timeout": tool.timeout,
        "attempts": tool.attempts,
        "queue": tool.queue,
        "secrets": tuple(tool.secrets),
        "max_chars": tool.max_chars,
    }


def _effect(tool: ToolBaseFile) -> Effect:
    """Return the declared effect, or the one that what it does has by its nature."""
    if "effect" in tool.model_fields_set:
        return tool.effect
    nature = getattr(tool, "builtin", None) or getattr(tool, "method", "")
    if nature in _READING:
        return "read"
    return "idempotent" if nature in _REPEATABLE else tool.effect


def _function(tool: FunctionToolFile, folder: Path, common: dict[str, Any]) -> FunctionTool:
    module, _, function = tool.function.rpartition(":")
    return FunctionTool(
        **common,
        function=function,
        module=module or None,
        file=str((folder / tool.file).resolve()) if tool.file is not None else None,
        folder=str(folder),
        memory_mb=tool.memory_mb,
    )


def _mcp(tool: McpToolFile, folder: Path, common: dict[str, Any]) -> McpTool:
    command = shlex.split(tool.command) if isinstance(tool.command, str) else tool.command or []
    return McpTool(
        **common,
        command=(*command, *tool.args),
        url=tool.url,
        env=tool.env,
        headers=tool.headers,
        folder=str(folder),
        only=tuple(tool.tools) if tool.tools is not None else None,
        effects=tool.effects,
        start_timeout=tool.start_timeout,
    )


# test cases


def build_case(case: CaseFile) -> AgentCase:
    """Return a test case."""
    turns = [case.input] if isinstance(case.input, str) else case.input
    return AgentCase(
        name=case.name,
        turns=tuple(turns),
        expected_tools=tuple(_expected(tool) for tool in case.expected_tools),
        tools_in_order=case.tools_in_order,
        ground_truth=case.ground_truth,
        metrics=tuple(_metric(metric) for metric in case.metrics),
    )


def _expected(tool: str | ExpectedToolFile) -> ExpectedTool:
    if isinstance(tool, str):
        return ExpectedTool(name=tool)
    matches = {name: argument_match(value) for name, value in tool.arguments.items()}
    return ExpectedTool(name=tool.name, arguments=matches, count=tool.count)


def argument_match(value: Json) -> ArgumentMatch:
    """Return how an argument is compared: {fuzzy: …} and {regex: …} are not literal."""
    if isinstance(value, dict) and set(value) <= {"fuzzy", "threshold"} and "fuzzy" in value:
        return ArgumentMatch(
            mode="fuzzy", value=value["fuzzy"], threshold=value.get("threshold", 0.8)
        )
    if isinstance(value, dict) and set(value) == {"regex"}:
        return ArgumentMatch(mode="regex", value=value["regex"])
    return ArgumentMatch(value=value)


def _metric(metric: str | MetricFile) -> CaseMetric:
    if isinstance(metric, str):
        return CaseMetric.model_validate({"metric": metric})
    return CaseMetric(**metric.model_dump())

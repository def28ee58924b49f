"""Test cases of an agent: what is said to it, which tools it must use, how its answer is judged."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.base import Frozen, Json


class ArgumentMatch(Frozen):
    """What a tool's argument must be.

    "literal" equals `value`; "fuzzy" is as like it as `threshold` (0 to 1) or more; "regex" is
    searched for `value`.
    """

    mode: Literal["literal", "fuzzy", "regex"] = "literal"
    value: Json = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8


class ExpectedTool(Frozen):
    """A tool that must have been called: `count` times exactly, or once at least."""

    name: str
    arguments: dict[str, ArgumentMatch] = {}
    count: Annotated[int | None, Field(ge=0)] = None


class CaseMetric(Frozen):
    """How an answer is judged, from 0 to 1; it passes at `threshold`.

    `value` is what "contains", "regex" and "numeric" look for (the ground truth where None),
    `fields` what "json" compares; `rubric` is for a model as judge.
    """

    metric: Literal["equality", "contains", "regex", "numeric", "json", "judge"]
    threshold: Annotated[float, Field(ge=0, le=1)] = 1.0
    value: Json = None
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    fields: dict[str, Any] = {}
    rubric: str = ""
    persona: str | None = None


class AgentCase(Frozen):
    """One case. `turns` are said one after the other; the last answer is judged.

    `tools_in_order`: the expected tools must be called one after the other.
    """

    name: str
    turns: Annotated[tuple[str, ...], Field(min_length=1)]
    expected_tools: tuple[ExpectedTool, ...] = ()
    tools_in_order: bool = False
    ground_truth: str | None = None
    metrics: tuple[CaseMetric, ...] = ()

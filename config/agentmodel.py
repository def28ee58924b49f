"""The agent file as people write it: every key once, unknown keys refused.

These models are the file's grammar and the source of its JSON Schema; `config.agentbuild` turns
them into contracts, `config.agenttools` has the tools. The four sections that `callboard.yaml`,
the environment and the command line can give as well (`SECTIONS`) have only defaults.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator

from config.agenttools import ToolFile
from config.filemodel import FileModel
from config.problems import LONG, SHORT
from config.teammodel import FallbackFile, OutputSpelling
from config.teamtypes import (
    Dollars,
    Effort,
    FilledText,
    Flag,
    Number,
    OnInterrupt,
    Seconds,
    Text,
    Whole,
)
from contracts.base import Json


class ModelFile(FileModel):
    """Who answers: a persona, or a provider and its model by name. Absent: the vendor's default."""

    persona: FilledText | None = Field(None, description="A name of the persona policy.")
    provider: FilledText | None = Field(None, examples=["openai"])
    name: FilledText | None = Field(None, description="The model.", examples=["gpt-4o-mini"])
    temperature: Number | None = Field(None, ge=0, le=2)
    max_tokens: Whole | None = Field(None, ge=1, description="Tokens of one answer.")
    top_p: Number | None = Field(None, ge=0, le=1)
    stop: list[FilledText] | None = Field(None, description="Texts that end the answer.")
    seed: Whole | None = None
    reasoning_effort: Effort | None = None
    thinking_budget: Whole | None = Field(None, ge=0, description="Tokens of thought.")
    fallback: list[FallbackFile] = Field([], description="Further candidates, in order.")


class InstructionsFile(FileModel):
    """The system text: in a file beside this one, or here."""

    file: FilledText | None = None
    inline: FilledText | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.file is None) == (self.inline is None):
            raise ValueError("give either file or inline")
        return self


def _spelling(value: Any) -> str:
    return LONG if isinstance(value, dict | BaseModel) else SHORT


InstructionsSpelling = Annotated[
    Annotated[FilledText, Tag(SHORT)] | Annotated[InstructionsFile, Tag(LONG)],
    Discriminator(_spelling),
]


class ExecutionFile(FileModel):
    """Bounds of a turn of the conversation, and of the calls in it. Durations in seconds."""

    max_turns: Whole = Field(10, ge=1, le=1000, description="Model calls in one turn.")
    turn_timeout: Seconds = Field(600.0, description="A whole turn, people's time left out.")
    timeout: Seconds = Field(300.0, description="One model call, once it was sent.")
    first_token_timeout: Seconds | None = Field(None, description="Default: 120, or timeout.")
    idle_timeout: Seconds | None = Field(None, description="Default: 60, or timeout.")
    max_retries: Whole = Field(3, ge=0, description="Further attempts per candidate.")
    max_parallel_tools: Whole = Field(5, ge=1, le=50)
    argument_repairs: Whole = Field(
        2, ge=0, le=10, description="How often a turn lets the model mend a tool's arguments."
    )
    min_output_tokens: Whole = Field(256, ge=1)
    on_interrupt: OnInterrupt = Field("restart", description="After a stream that broke off.")
    approval_timeout: Seconds | None = Field(None, description="Then it counts as refused.")
    compact_over_bytes: Whole | None = Field(
        None,
        ge=1000,
        description="A longer conversation is summed up before the next turn. Default: never.",
    )


class BudgetFile(FileModel):
    """Dollars that are never passed."""

    session: Dollars = Field(Decimal("10.0"), description="For a whole conversation.")
    turn: Dollars = Field(Decimal("1.0"), description="For one turn of it.")
    on_budget: Literal["fail", "pause"] = "fail"


class ObservabilityFile(FileModel):
    """OpenTelemetry: a span for each turn and each tool."""

    enabled: Flag = False
    service_name: FilledText = "callboard"


class ExpectedToolFile(FileModel):
    """A tool that must be called."""

    name: FilledText
    arguments: dict[str, Json] = Field(
        {}, description="A value, {fuzzy: text} or {regex: pattern} each."
    )
    count: Whole | None = Field(None, ge=0, description="Exactly so often; else once at least.")


ExpectedSpelling = Annotated[
    Annotated[FilledText, Tag(SHORT)] | Annotated[ExpectedToolFile, Tag(LONG)],
    Discriminator(_spelling),
]

Metric = Literal["equality", "contains", "regex", "numeric", "json", "judge"]


class MetricFile(FileModel):
    """How the answer is judged, from 0 to 1."""

    metric: Metric
    threshold: Number = Field(1.0, ge=0, le=1)
    value: Json = Field(None, description="What to look for; default: the ground truth.")
    tolerance: Number = Field(0.0, ge=0, description="Of numeric.")
    fields: dict[str, Json] = Field({}, description="Of json: what they must be.")
    rubric: Text = Field("", description="Of judge: what a good answer is.")
    persona: FilledText | None = Field(None, description="Of judge: who judges.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.metric == "judge" and not self.rubric.strip():
            raise ValueError("judge needs a rubric")
        if self.metric == "json" and not self.fields:
            raise ValueError("json needs fields")
        return self


MetricSpelling = Annotated[
    Annotated[Metric, Tag(SHORT)] | Annotated[MetricFile, Tag(LONG)], Discriminator(_spelling)
]


def _said(turns: str | list[str]) -> str | list[str]:
    if not turns:
        raise ValueError("must have a message at least")
    return turns


class CaseFile(FileModel):
    """One test case: what is said, which tools must be called, how the answer is judged."""

    name: FilledText
    input: Annotated[FilledText | list[FilledText], AfterValidator(_said)] = Field(
        description="One message, or several turns."
    )
    expected_tools: list[ExpectedSpelling] = []
    tools_in_order: Flag = Field(False, description="One after the other, as listed.")
    ground_truth: Text | None = None
    metrics: list[MetricSpelling] = []


class AgentFile(FileModel):
    """One file is one agent."""

    name: Annotated[FilledText, Field(max_length=100)]
    description: Text = ""
    author: Text = ""
    model: ModelFile = ModelFile()
    instructions: InstructionsSpelling
    response_format: OutputSpelling = Field("text", description="text, json, fields or a schema.")
    tools: list[ToolFile] = []
    execution: ExecutionFile = ExecutionFile()
    budget: BudgetFile = BudgetFile()
    test_cases: list[CaseFile] = []
    observability: ObservabilityFile = ObservabilityFile()


class AgentDefaults(FileModel):
    """The key `agent` of `callboard.yaml`: what agents have that do not say otherwise."""

    model: ModelFile = ModelFile()
    execution: ExecutionFile = ExecutionFile()
    budget: BudgetFile = BudgetFile()
    observability: ObservabilityFile = ObservabilityFile()


class DefaultsFile(FileModel):
    """`callboard.yaml`, of a project (in the working folder) or of a user."""

    agent: AgentDefaults = AgentDefaults()


SECTIONS: dict[str, type[FileModel]] = {
    "model": ModelFile,
    "execution": ExecutionFile,
    "budget": BudgetFile,
    "observability": ObservabilityFile,
}
"""The sections that other layers can give too."""

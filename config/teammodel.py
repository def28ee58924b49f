"""The team file as people write it: every key once, unknown keys refused.

These models are the file's grammar and the source of its JSON Schema; `config.teambuild` turns
them into contracts. Short forms are accepted here (`output: json`, `output: {fields: …}`,
`dependencies: [review?]`).
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from config.attachedmodel import AttachmentSpelling, SharedSpelling
from config.filemodel import FileModel, spelling
from config.problems import LONG, SHORT
from config.teamtypes import (
    Dependency,
    Dollars,
    Effort,
    Expression,
    FieldType,
    FilledText,
    Flag,
    Module,
    Name,
    Number,
    OnInterrupt,
    Schema,
    Seconds,
    Text,
    Tools,
    Whole,
)
from contracts.base import Json
from rules.jsonschemas import dangling


class InputFile(FileModel):
    """A typed input; required unless it has a default, which may be null."""

    type: Literal["text", "string", "number", "boolean", "list", "file"] = Field(
        "string",
        description="text and string are texts, file is a text file, list is JSON.",
    )
    description: Text = ""
    default: Json = Field(None, description="Used when the run gives no value; null: none.")
    enum: list[Json] | None = Field(None, min_length=1, description="The values it may have.")


class LlmConfigFile(FileModel):
    """Parameters of the model; absent means the persona's or the vendor's default."""

    model: FilledText | None = Field(
        None, description="Pins one model; it must satisfy the persona.", examples=["gpt-4o-mini"]
    )
    temperature: Number | None = Field(None, ge=0, le=2)
    max_tokens: Whole | None = Field(None, ge=1, description="Tokens that it may answer.")
    top_p: Number | None = Field(None, ge=0, le=1)
    stop: list[FilledText] | None = Field(None, description="Texts that end the answer.")
    seed: Whole | None = None
    system: Text | None = Field(None, description="System prompt; no template.")
    reasoning_effort: Effort | None = None
    thinking_budget: Whole | None = Field(None, ge=0, description="Tokens of thought.")


FieldSpelling = Annotated[
    Annotated[FieldType, Tag(SHORT)] | Annotated[Schema, Tag(LONG)], Discriminator(spelling)
]


class OutputFile(FileModel):
    """JSON that fits a schema, and how often a wrong answer is shown its mistakes."""

    fields: dict[str, FieldSpelling] | None = Field(
        None,
        min_length=1,
        description="Short form: an object with exactly these fields, all of them required.",
        examples=[{"level": "integer", "why": "string"}],
    )
    schema_: Schema | None = Field(None, alias="schema", description="A JSON Schema.")
    repairs: Whole = Field(1, ge=0, le=10, description="Further attempts after a wrong answer.")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.fields is None) == (self.schema_ is None):
            raise ValueError("give either fields or schema")
        named = self.fields is not None and all(isinstance(k, str) for k in self.fields.values())
        wrong = None if named else dangling(self.spelt_out())
        if wrong is not None:
            raise ValueError(f"the schema {wrong}")
        return self

    def spelt_out(self) -> dict[str, Any]:
        """Return the JSON Schema; of `fields`, an object that has each of them and nothing else."""
        if self.fields is None:
            return self.schema_ or {}
        properties = {
            name: {"type": kind} if isinstance(kind, str) else kind
            for name, kind in self.fields.items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(self.fields),
            "additionalProperties": False,
        }


OutputSpelling = Annotated[
    Annotated[Literal["text", "json"], Tag(SHORT)] | Annotated[OutputFile, Tag(LONG)],
    Discriminator(spelling),
]


class FallbackFile(FileModel):
    """A further candidate: a provider, a model or both; or another persona."""

    provider: FilledText | None = None
    model: FilledText | None = None
    persona: FilledText | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        direct = self.provider is not None or self.model is not None
        if direct == (self.persona is not None):
            raise ValueError("give either persona, or provider and model")
        return self


class ForEachFile(FileModel):
    """Runs the step once per item of a list."""

    item: Name = Field(description="The item's name in the prompt.")
    in_: Expression = Field(alias="in", description="CEL that gives the list.")
    max_parallel: Whole = Field(10, ge=1)
    min_success: Number = Field(1.0, ge=0, le=1, description="Share of items that must succeed.")


class RepeatFile(FileModel):
    """Runs the step, and those in `with`, again until a condition holds."""

    until: Expression = Field(description="CEL.")
    max: Whole = Field(ge=1, description="Rounds at most.")
    with_: list[Name] = Field([], alias="with", description="Steps that run again with it.")


class StepFile(FileModel):
    """What all steps have."""

    name: Name
    description: Text = ""
    dependencies: list[Dependency] = Field(
        [],
        description='Steps that come first; "name?" may be skipped or have failed, then null.',
        examples=[["draft", "review?"]],
    )
    when: Expression | None = Field(
        None, description="CEL; false skips the step.", examples=["size(agents.a.output) > 0"]
    )
    priority: Whole = Field(5, ge=1, le=10, description="10 goes first.")
    catch: Name | None = Field(None, description="The step that runs when this one failed.")


class CallSettings(FileModel):
    """How a model is called: the keys that `defaults` may give for all model steps."""

    module: Module = "General"
    persona: FilledText | None = Field(None, description="Who answers: a name of the policy.")
    llm_config: LlmConfigFile = LlmConfigFile()
    tools: Tools = Field(
        [], description="Functions that the model may ask for; its calls are in the output."
    )
    max_retries: Whole = Field(3, ge=0, description="Further attempts per candidate.")
    timeout: Seconds = Field(300.0, description="Seconds of one attempt, once it was sent.")
    first_token_timeout: Seconds | None = Field(None, description="Default: 120, or timeout.")
    idle_timeout: Seconds | None = Field(None, description="Default: 60, or timeout.")
    cost_limit: Dollars = Field(Decimal("1.0"), description="Dollars for all its attempts.")
    min_output_tokens: Whole = Field(
        256, ge=1, description="max_tokens is never lowered below this to fit a budget."
    )
    on_interrupt: OnInterrupt = Field("restart", description="After a stream that broke off.")
    output: OutputSpelling = Field("text", description="text, json, fields or a schema.")
    fallback: list[FallbackFile] = Field([], description="Further candidates, in order.")
    reuse: Number = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds for which an identical request's answer is taken, unpaid; 0: never.",
    )
    shared_context: Flag = Field(False, description="Begin with the team's shared context.")


class DefaultsFile(CallSettings):
    """For every step that does not say otherwise; keys go only to steps that have them."""

    priority: Whole = Field(5, ge=1, le=10, description="10 goes first.")


class PromptedFile(FileModel):
    """What a model or an agent is told: once, for each item of a list, or until it is good."""

    prompt_template: FilledText | None = Field(
        None,
        description="{name} is an input or a step's output, {name.field} a part of it, {name?}"
        " what may be missing, {{ and }} are literal braces.",
    )
    prompt_file: FilledText | None = Field(
        None,
        description="A prompt beside this file; its braces are literal unless the name is known.",
    )
    for_each: ForEachFile | None = None
    repeat: RepeatFile | None = None


class ModelStepFile(StepFile, CallSettings, PromptedFile):
    """A model call."""

    files: list[AttachmentSpelling] = Field(
        [],
        description="Sent along with the prompt: texts, PDF, images, sound; paths and patterns "
        "beside this file, or artifacts.",
        examples=[["report.pdf", "charts/*.png"]],
    )


class SetStepFile(StepFile):
    """A computed value: no model, no cost."""

    set: Expression = Field(description="CEL.", examples=["agents.a.output.size()"])


class GateStepFile(StepFile):
    """A condition that must hold: false fails the step."""

    gate: Expression = Field(description="CEL.", examples=["agents.judge.output.score >= 8"])


class ApprovalFile(FileModel):
    """A person's choice, which is the step's output."""

    ask: FilledText = Field(description="A template, shown to the person.")
    choices: list[FilledText] = Field(["approve", "reject"], min_length=1)
    timeout: Seconds | None = Field(None, description="Seconds to wait; default: for ever.")
    on_timeout: FilledText | None = Field(None, description="The choice when nobody answered.")

    @model_validator(mode="after")
    def _choices_fit(self) -> Self:
        if len(set(self.choices)) != len(self.choices):
            raise ValueError("choices has the same choice twice")
        if self.on_timeout is not None and self.timeout is None:
            raise ValueError("on_timeout needs a timeout")
        if self.on_timeout is not None and self.on_timeout not in self.choices:
            raise ValueError(f'on_timeout "{self.on_timeout}" is none of the choices')
        return self


class ApprovalStepFile(StepFile):
    """Waits for a person."""

    approval: ApprovalFile


class WaitStepFile(StepFile):
    """Waits."""

    wait: Seconds = Field(description="Seconds.")


class EndFile(FileModel):
    """How the run ends."""

    status: Literal["completed", "failed", "cancelled"] = "completed"
    because: Text = Field("", max_length=1000, description="Shown as the reason; no template.")


class EndStepFile(StepFile):
    """Ends the run early."""

    end: EndFile


class TeamStepFile(StepFile):
    """Another team as a step: a child run."""

    team: FilledText = Field(description="A team file beside this one.")
    inputs: dict[Name, Json] = Field({}, description="The child's inputs; texts are templates.")
    cost_limit: Dollars = Field(Decimal("1.0"), description="Dollars for the whole child run.")


class AgentStepFile(StepFile, PromptedFile):
    """An agent with tools as a step: one turn of it, that begins with the prompt."""

    agent: FilledText = Field(description="An agent file beside this one.")
    cost_limit: Dollars | None = Field(
        None, description="Dollars for all its calls, its tools' too. Default: its budget.turn."
    )
    shared_context: Flag = Field(False, description="Begin with the team's shared context.")

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if (self.prompt_template is None) == (self.prompt_file is None):
            raise ValueError("give either prompt_template or prompt_file: what the agent is told")
        return self


AnyStepFile = (
    ModelStepFile
    | SetStepFile
    | GateStepFile
    | ApprovalStepFile
    | WaitStepFile
    | EndStepFile
    | TeamStepFile
    | AgentStepFile
)

STEP_KINDS: dict[str, type[StepFile]] = {
    "prompt_template": ModelStepFile,
    "prompt_file": ModelStepFile,
    "agent": AgentStepFile,
    "team": TeamStepFile,
    "set": SetStepFile,
    "gate": GateStepFile,
    "approval": ApprovalStepFile,
    "wait": WaitStepFile,
    "end": EndStepFile,
}
"""The key that tells what a step does, exactly one of which it has."""

PROMPTS = frozenset({"prompt_template", "prompt_file"})
"""Keys that an agent's step has beside its own: what the agent is told."""


class TeamHead(FileModel):
    """A team without its steps."""

    name: Annotated[FilledText, Field(max_length=100)]
    description: Text = ""
    inputs: dict[Name, InputFile] = {}
    defaults: DefaultsFile = DefaultsFile()
    max_parallel_agents: Whole = Field(10, ge=1, description="Steps that run at once.")
    cost_budget: Dollars = Field(Decimal("100.0"), description="Dollars, never passed.")
    on_budget: Literal["fail", "pause"] = Field("fail", description="When the budget is spent.")
    timeout: Seconds = Field(3600.0, description="Seconds for the whole run.")
    allow_partial_completion: Flag = Field(True, description="Go on when a step has failed.")
    shared_context: SharedSpelling | None = Field(
        None,
        description="Files that the prompts of all agents with `shared_context: true` begin with.",
        examples=[["report.pdf", "charts/*.png"]],
    )
    outputs: dict[Name, FilledText] = Field(
        {}, description="What the run gives back: templates.", examples=[{"memo": "{memo}"}]
    )


class TeamFile(TeamHead):
    """One file is one team. The order of steps does not matter, `dependencies` do."""

    agents: list[AnyStepFile] = Field(min_length=1)

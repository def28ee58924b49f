"""Tools of an agent: how they are declared, listed, called, and what comes of a call.

A `ToolSpec` is what an agent's file declares. One declaration may stand for many tools (an MCP
server), so a worker lists them first: the workflow gets a `ToolFact` for each, which is what it
decides by; names, descriptions and schemas, which may be large, stay in an artifact for the model
call. A call is one activity. `prompt` and `agent` tools cost money: the workflow runs them itself,
under its ledger, and only asks a worker to render their text.

Durations are seconds, sizes bytes.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
)

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen, Json, Slim
from contracts.brief import BriefRef, BriefTime, BriefValue, Timed
from contracts.queues import WORKFLOW_QUEUE
from contracts.teams import Dollars, ModelParams, Positive

MOST_DECLARED = 50
"""Tools that an agent may declare."""

MOST_LISTED = 128
"""Tools that may come of them: no vendor takes more in one request."""

MODEL_CHARS = 16_000
"""Characters of a result that the model is given, unless the tool says otherwise."""

TOOL_CALLS = "tool-calls/"
"""What names begin with that the store keeps of unsafe calls."""

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""A tool's name, as all vendors take it."""

Effect = Literal["read", "idempotent", "unsafe"]
"""What doing it twice would do: nothing; the same as once; nobody knows."""

Approval = Literal["always", "unsafe", "never"]
"""Which calls wait for a person's word: all, those of unsafe tools, none."""


def tool_queue(name: str | None = None, base: str = WORKFLOW_QUEUE) -> str:
    """Return the task queue of the workers that run tools: all of them, or a chosen group.

    `base` is the queue of the workflow that calls.
    """
    return f"{base}.tools.{name}" if name else f"{base}.tools"


def spool_agent(unit: str, call_id: str) -> str:
    """Return what stands for a unit's tool call where spools name agents."""
    return f"{unit}/{call_id}"


class ToolBase(Frozen):
    """What all kinds have.

    `parameters` is a JSON Schema of type object; None: the worker finds out (a function's type
    hints, a server's listing). `timeout` is for one try. `attempts` counts the tries after a
    lost worker or a server that is away; an unsafe tool has one. `secrets` names environment
    variables of the worker that the tool may see. `max_chars` is how much of a result the model
    is given. `queue` names the group of workers that can run it.
    """

    name: ToolName
    description: str = ""
    parameters: dict[str, Any] | None = None
    effect: Effect = "unsafe"
    approval: Approval = "never"
    critical: bool = False
    timeout: Positive = 30.0
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    queue: str | None = None
    secrets: tuple[str, ...] = ()
    max_chars: Annotated[int, Field(ge=100)] = MODEL_CHARS


class FunctionTool(ToolBase):
    """A Python function: `function` of a module, or of a file.

    `folder` is the agent file's, absolute: modules are looked for there first. `file` is
    absolute too. `memory_mb` is what its process may hold (None: no bound).
    """

    kind: Literal["function"] = "function"
    function: str
    module: str | None = None
    file: str | None = None
    folder: str = ""
    memory_mb: Annotated[int | None, Field(ge=64)] = 2048


class McpTool(ToolBase):
    """The tools of an MCP server: a command that speaks on stdio, or a URL (streamable HTTP).

    Each is offered as `name__tool`. `only` names the server's tools that are wanted; `effects`
    are those of single tools. Header and environment values are templates of secrets: "{TOKEN}".
    `start_timeout` is for connecting and listing.
    """

    kind: Literal["mcp"] = "mcp"
    command: tuple[str, ...] = ()
    url: str | None = None
    env: dict[str, str] = {}
    headers: dict[str, str] = {}
    folder: str = ""
    only: tuple[str, ...] | None = None
    effects: dict[str, Effect] = {}
    start_timeout: Positive = 20.0


class PromptTool(ToolBase):
    """A templated model call, made by the workflow. Without a persona or model: the agent's."""

    kind: Literal["prompt"] = "prompt"
    prompt: str
    persona: str | None = None
    provider: str | None = None
    params: ModelParams = ModelParams()
    cost_limit: Dollars | None = None


class AgentTool(ToolBase):
    """Another agent, a child of the workflow with its own slice of the budget.

    `file` is the agent's, absolute; `agent` its stored AgentSpec, once it was stored. `ask` is
    the template of what it is told.
    """

    kind: Literal["agent"] = "agent"
    file: str
    agent: ArtifactRef | None = None
    ask: str = "{message}"
    cost_limit: Dollars | None = None


class HttpTool(ToolBase):
    """One HTTP request: `url` with {parameter} in path and query, never in scheme or host.

    `allow` has the hosts that it may reach by redirects too ("*.example.org" for all below);
    the URL's own is always among them. `private` lets hosts have addresses of private networks.
    """

    kind: Literal["http"] = "http"
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: Json = None
    allow: tuple[str, ...] = ()
    private: bool = False


class BuiltinTool(ToolBase):
    """A tool that comes with Callboard. `root` (absolute) is for files, `allow` for fetching."""

    kind: Literal["builtin"] = "builtin"
    builtin: Literal["read_file", "write_file", "list_files", "fetch_url"]
    root: str | None = None
    allow: tuple[str, ...] = ()
    private: bool = False


ToolSpec = Annotated[
    FunctionTool | McpTool | PromptTool | AgentTool | HttpTool | BuiltinTool,
    Field(discriminator="kind"),
]

ToolKind = Literal["function", "mcp", "prompt", "agent", "http", "builtin", "caller"]
"""Of a tool that can be called; a "caller" tool is called by whoever asked, outside of us."""


class ToolList(Frozen):
    """Asks for the tools that declarations stand for. `agent` is the stored AgentSpec.

    `plan`, the stored AgentPlan, is kept in the toolbox, for whoever has only that.
    """

    agent: BriefRef
    queue: str | None = None
    plan: BriefRef | None = None


class ToolFact(Slim):
    """What a workflow needs to know of one tool. `declared` names the ToolSpec it comes from."""

    name: ToolName
    declared: str
    kind: ToolKind
    effect: Effect = "unsafe"
    approval: Approval = "never"
    critical: bool = False
    timeout: float = 30.0
    attempts: int = 1
    queue: str | None = None
    definition_bytes: int = 0

    @property
    def needs_approval(self) -> bool:
        """Whether its calls wait for a person."""
        return self.approval == "always" or (self.approval == "unsafe" and self.effect == "unsafe")


class OfferedTool(Frozen):
    """A tool as the model sees it, with what its calls need. Stored, never in history.

    `remote` is its name at the MCP server.
    """

    name: ToolName
    description: str
    parameters: dict[str, Any]
    declared: str
    remote: str | None = None


class Toolbox(Frozen):
    """The artifact of all offered tools, and of whose they are."""

    tools: tuple[OfferedTool, ...] = ()
    agent: ArtifactRef | None = None
    plan: ArtifactRef | None = None


class ToolListing(Frozen):
    """What can be called. `toolbox` is the stored Toolbox; `problems` say what is left out.

    `whole`: the toolbox says whose it is, and calls need not.
    """

    facts: tuple[ToolFact, ...] = ()
    toolbox: BriefRef | None = None
    problems: tuple[str, ...] = ()
    whole: bool = False


class ToolRequest(Slim):
    """One call. `run_id` is the chat's or the run's: the spool that its events go to.

    `call_id` is unique within `run_id`: "t3.2.1", the first call of the unit "t3.2". `unit` is
    whose call it is, as in spools. `idempotency_key` is the same in every try. `attempt` counts
    the workflow's tries from 1. `confirmed`: a person said that an unsafe call whose outcome is
    not known may be made again.

    There are hundreds of these in a history, so that what follows from the rest is not written:
    `completed_by` fills in the agent of the toolbox, the workflow's id as `run_id`, and from
    that and `call_id` the unit and the key.
    """

    toolbox: BriefRef
    name: ToolName
    call_id: str
    arguments: BriefValue
    run_id: str = ""
    unit: str = ""
    agent: BriefRef | None = None
    idempotency_key: str = ""
    attempt: int = 1
    confirmed: bool = False

    def completed_by(self, run_id: str) -> "ToolRequest":
        """Return the request with what follows from it; `run_id` where it has none itself."""
        run_id = self.run_id or run_id
        update = {
            "run_id": run_id,
            "unit": self.unit or self.call_id.rpartition(".")[0],
            "idempotency_key": self.idempotency_key or f"{run_id}/{self.call_id}",
        }
        return self.model_copy(update=update)


class ToolError(StrEnum):
    """Why a call failed. The model is told; only the first two can be mended by it."""

    INVALID_ARGUMENTS = "invalid_arguments"
    NO_SUCH_TOOL = "no_such_tool"
    RAISED = "raised"
    TIMEOUT = "timeout"
    DIED = "died"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class ToolOutcome(Timed):
    """What came of a call; a failed one is an answer to the model too, and no error of ours.

    `text` is what the model is given, cut and cleaned, always by reference. `whole` is the whole
    result where that is more. `unknown`: an unsafe call was begun, and nobody knows whether it
    was done. `execution_time` is in seconds. Written briefly, as ToolRequest is: who asked knows
    `name` and `call_id`.
    """

    _times = ("started_at", "ended_at")

    name: str = ""
    call_id: str = ""
    status: Literal["completed", "failed"] = "completed"
    text: BriefValue
    whole: BriefRef | None = None
    error_kind: ToolError | None = None
    error: str | None = None
    argument_errors: tuple[str, ...] = ()
    unknown: bool = False
    attempt: int = 1
    execution_time: float = 0.0
    started_at: BriefTime
    ended_at: BriefTime


class ToolEnding(Slim):
    """What came of a `prompt` or `agent` tool: its `answer`, or why there is none.

    A worker cuts it for the model, and tells viewers.
    """

    request: ToolRequest
    answer: BriefValue | None = None
    error: str | None = None
    error_kind: ToolError | None = None
    began_at: BriefTime


class ToolEventRecord(Slim):
    """An event of a call, in the spool for viewers: seed 003's ToolEvent.

    `data` is small: cut previews of parameters, result or error, and what the tool reported.
    """

    event: Literal["started", "progress", "completed", "failed"]
    tool: str
    call_id: str
    at: datetime
    data: dict[str, Json] = {}


class ToolProgress(Frozen):
    """What a tool call's heartbeat carries. "started" from the moment it may have an effect."""

    phase: Literal["waiting", "started"] = "waiting"

"""One attempt at a model call: what an activity is asked, what it answers, how it fails.

Texts travel by reference. Times are UTC, durations seconds.
"""

from datetime import datetime
from typing import Literal

from contracts.artifacts import ArtifactRef, Bindings, Value
from contracts.base import Frozen
from contracts.execution_state import CacheRef
from contracts.messages import ToolCall, Usage

ANSWERS = "answers/"
"""Names in the store under which answers are kept for identical requests, by the digest of one."""


class Repair(Frozen):
    """An answer that did not fit its schema, and why: the next attempt is shown both."""

    answer: ArtifactRef
    errors: tuple[str, ...]


class Continuation(Frozen):
    """The partial answer that an attempt has to go on from: stored, or still in the spool.

    Where neither can be read any more the attempt starts afresh.
    """

    partial: ArtifactRef | None = None
    spool_attempt: int | None = None
    response_id: str | None = None


class ItemBinding(Frozen):
    """One item of a stored list, bound under a name."""

    name: str
    items: ArtifactRef
    index: int


class ContextRef(Frozen):
    """The plan of a team, and the step whose agent's conversation its shared context precedes."""

    plan: ArtifactRef
    step: str


class SharedUse(Frozen):
    """What an attempt's files are at the provider: addresses by SHA-256, and a cache.

    A file without an address is sent within the request. `context` says whose they are where the
    attempt's own plan does not.
    """

    uris: dict[str, str] = {}
    cache: CacheRef | None = None
    context: ContextRef | None = None


class ModelCall(Frozen):
    """One attempt. `attempt` counts from 1 over all candidates of the step.

    `unit` is the step's name, or that of one of its items ("risk[3]"): what spools, logs and
    bills call it.

    `candidate` indexes the plan's candidates. `max_tokens` and `input_bound` (tokens) are what
    the reservation paid for: a larger prompt is refused before it is sent. `counted` says that
    the provider itself counted the prompt: then its bytes may be more than the bound.
    `want_inline` asks for the answer beside its reference, where it is small. `prompt` is a
    template that replaces the plan's. `reuse_s`: an identical request's answer that is no older
    than so many seconds is taken instead of being paid again. `warms`, where it is given, is told
    to the run as soon as the first token is there: others wait for what this attempt caches.
    """

    run_id: str
    plan: ArtifactRef
    step: str
    unit: str
    attempt: int
    candidate: int
    bindings: Bindings = Bindings()
    item: ItemBinding | None = None
    max_tokens: int
    input_bound: int
    counted: bool = False
    timeout: float
    first_token_timeout: float
    idle_timeout: float
    want_inline: bool = False
    continuation: Continuation | None = None
    repair: Repair | None = None
    prompt: str | None = None
    reuse_s: float = 0.0
    shared: SharedUse | None = None
    warms: str = ""

    @property
    def name(self) -> str:
        """What the attempt is called beyond its run: "r1/draft#2"."""
        return f"{self.run_id}/{self.unit}#{self.attempt}"


class ModelReply(Frozen):
    """A whole answer. `usage` is the vendor's, or estimated and marked so.

    `output` is text, parsed JSON, or {"text": …, "tool_calls": […]} where the model asked for
    the caller's tools. `reused_from` names the attempt ("RUN/draft#1") whose answer this is.
    """

    output: Value
    usage: Usage
    finish_reason: str
    model: str | None = None
    response_id: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    started_at: datetime
    first_token_at: datetime | None = None
    ended_at: datetime
    notes: tuple[str, ...] = ()
    reused_from: str | None = None


class CallProgress(Frozen):
    """What a heartbeat carries: at most 512 bytes, enough to bill and to go on from.

    `phase` is "loading" before the request, "sent" from the moment it may cost money.
    `chars` is how much of the answer the spool holds.
    """

    phase: Literal["loading", "sent"] = "loading"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    chars: int = 0
    first_token_at: datetime | None = None


class CallFailure(Frozen):
    """Details of a failed attempt: an ApplicationError of the same `kind` carries it.

    `sent` False means that no money can have been spent. `usage_final` says that the vendor
    reported the whole usage; otherwise `usage` is what was seen so far.
    """

    kind: str
    message: str
    retryable: bool
    sent: bool
    retry_after: float | None = None
    usage: Usage | None = None
    usage_final: bool = False
    partial: ArtifactRef | None = None
    partial_preview: str = ""
    provider: str = ""
    model: str = ""
    status: int | None = None
    response_id: str | None = None
    invalid_output: Repair | None = None
    started_at: datetime | None = None
    first_token_at: datetime | None = None
    ended_at: datetime | None = None

"""`list_tools`, `call_tool`, `ask_of_tool`: an agent's tools, run where their secrets are.

Promises: whatever a tool does, the call ends in its time with an outcome that the model can read;
arguments are checked before anything is begun; an unsafe tool is begun once (`tool_claims`); what
the model gets is clean and cut, and the whole is kept; a secret that a tool was given is taken
out of what it says. Only what was not begun, or may be done twice, is left to the server's
retries, as `ToolUnavailable`.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeats import beating
from activities.keeping import keep, lasting
from activities.tool_claims import ToolClaims
from activities.tool_events import ToolEvents
from activities.tool_listing import KnownAgents, Listing, effect_of
from contracts.artifacts import Value
from contracts.base import Json
from contracts.tool_activities import ToolActivities
from contracts.tools import (
    AgentTool,
    OfferedTool,
    PromptTool,
    ToolEnding,
    ToolError,
    ToolList,
    ToolListing,
    ToolOutcome,
    ToolProgress,
    ToolRequest,
    ToolSpec,
)
from rules.templates import TemplateError, parse, render
from rules.toolargs import misfits
from rules.toolresults import for_model, of_binary
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreError
from stores.spooling import SpoolWriter
from stores.values import load_value
from toolbox.calls import Env, Invocation, ToolResult
from toolbox.environment import Redactor
from toolbox.exceptions import BadArguments, ToolFailure
from toolbox.opening import OpenTools

RETRY_S = 0.5
UNAVAILABLE = "ToolUnavailable"
NOBODY_KNOWS = (
    "nobody knows whether it was done: it was begun, and its outcome was lost. "
    "Do not do it again unless a person says so"
)


class Failed(Exception):
    """A call that ends without a result, as the model is told it."""

    def __init__(self, kind: ToolError, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.errors = kind, errors


class RunTools(ToolActivities):
    """The activities, with what they need to act. `aclose` it."""

    def __init__(self, store: ArtifactStore, spools: SpoolWriter, env: Env) -> None:
        self._store, self._spools, self._env = store, spools, env
        self._known = KnownAgents(store)
        self._open = OpenTools(env)

    async def aclose(self) -> None:
        """End what the tools have running."""
        await self._open.aclose()

    @activity.defn(name="list_tools")
    async def list_tools(self, request: ToolList) -> ToolListing:
        async with beating(ToolProgress):
            agent = await self._known.agent(request.agent)
            listing = Listing(self._open, request)
            return await listing.of(agent, self._store)

    @activity.defn(name="call_tool")
    async def call_tool(self, request: ToolRequest) -> ToolOutcome:
        return _briefly(await self._call(request).run())

    @activity.defn(name="ask_of_tool")
    async def ask_of_tool(self, request: ToolRequest) -> ToolOutcome:
        return _briefly(await self._call(request).ask())

    @activity.defn(name="end_of_tool")
    async def end_of_tool(self, ending: ToolEnding) -> ToolOutcome:
        async with beating(ToolProgress):
            return _briefly(await self._call(ending.request).end(ending))

    def _call(self, request: ToolRequest) -> "_Call":
        request = request.completed_by(activity.info().workflow_id or "")
        return _Call(self._store, self._spools, self._known, self._open, self._env, request)


class _Call:
    """One run of the activity."""

    def __init__(
        self,
        store: ArtifactStore,
        spools: SpoolWriter,
        known: KnownAgents,
        opened: OpenTools,
        env: Env,
        request: ToolRequest,
    ) -> None:
        self._store, self._known, self._open, self._env = store, known, opened, env
        self._request = request
        self._unsafe = True
        self._events = ToolEvents(spools, request)
        self._claims = ToolClaims(store)
        self._began, self._clock = _to_the_ms(datetime.now(UTC)), time.monotonic()

    async def run(self) -> ToolOutcome:
        """Make the call."""
        async with beating(lambda: ToolProgress(phase="started")):
            try:
                spec, offered, arguments = await self._prepared()
            except Failed as failed:
                return await self._failed(failed)
            except StoreError as error:
                raise _again(str(error)) from None
            self._unsafe = effect_of(spec, offered.remote) == "unsafe"
            make = self._once if self._unsafe else self._made
            return await make(spec, offered, arguments)

    async def ask(self) -> ToolOutcome:
        """Render what the workflow asks a model or an agent for; `end` tells of its answer."""
        try:
            spec, _, arguments = await self._prepared()
            if not isinstance(spec, PromptTool | AgentTool):
                raise Failed(ToolError.NO_SUCH_TOOL, f"{spec.name} is no prompt and no agent")
            template = spec.prompt if isinstance(spec, PromptTool) else spec.ask
            text = await self._kept(render(parse(template), arguments))
            self._events.started(arguments)
        except TemplateError as error:
            said = (str(error),)
            return await self._failed(Failed(ToolError.INVALID_ARGUMENTS, said[0], said))
        except Failed as failed:
            return await self._failed(failed)
        except StoreError as error:
            raise _again(str(error)) from None
        return self._outcome(status="completed", text=text)

    async def end(self, ending: ToolEnding) -> ToolOutcome:
        """Cut what a model or an agent answered, and tell viewers of the end."""
        self._unsafe, self._began = False, ending.began_at
        self._events.go_on()
        self._clock -= (datetime.now(UTC) - ending.began_at).total_seconds()
        try:
            spec, _, _ = await self._prepared()
            if ending.answer is None:
                kind = ending.error_kind or ToolError.RAISED
                raise Failed(kind, ending.error or "it has no answer")
            answer = await load_value(self._store, ending.answer)
        except Failed as failed:
            outcome = await self._failed(failed)
        except StoreError as error:
            raise _again(str(error)) from None
        else:
            full = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
            shown = for_model(full, spec.max_chars)
            whole = ending.answer.ref if shown != full else None
            text = await self._kept(shown)
            outcome = self._outcome(status="completed", text=text, whole=whole)
        self._events.ended(outcome)
        return outcome

    # before the call

    async def _prepared(self) -> tuple[ToolSpec, OfferedTool, dict[str, Json]]:
        """Return the declaration, what was offered, and arguments that fit. Raises Failed."""
        request = self._request
        toolbox = await self._known.toolbox(request.toolbox)
        owner = request.agent or toolbox.agent
        if owner is None:
            raise Failed(ToolError.NO_SUCH_TOOL, "nobody says whose tool it is")
        agent = await self._known.agent(owner)
        offered = next((tool for tool in toolbox.tools if tool.name == request.name), None)
        spec = agent.tool(offered.declared) if offered is not None else None
        if offered is None or spec is None:
            names = ", ".join(tool.name for tool in toolbox.tools) or "none"
            said = f"there is no tool {request.name}; there are: {names}"
            raise Failed(ToolError.NO_SUCH_TOOL, said)
        arguments = await load_value(self._store, request.arguments)
        errors = misfits(arguments, offered.parameters)
        if errors:
            said = "the arguments do not fit the tool's schema: " + "; ".join(errors)
            raise Failed(ToolError.INVALID_ARGUMENTS, said, errors)
        return spec, offered, arguments

    # the call

    async def _once(
        self, spec: ToolSpec, offered: OfferedTool, arguments: dict[str, Json]
    ) -> ToolOutcome:
        """Make a call that must not be made twice."""
        try:
            if not await self._claims.begin(self._request):
                known = await self._claims.outcome(self._request)
                return known or await self._failed(Failed(ToolError.UNKNOWN, NOBODY_KNOWS))
        except StoreError as error:
            raise _again(str(error)) from None
        outcome = await self._made(spec, offered, arguments)
        await self._noted(outcome)
        return outcome

    async def _noted(self, outcome: ToolOutcome) -> None:
        """Note an outcome for whoever would run this again; the answer does not depend on it."""
        try:
            await self._claims.end(self._request, outcome)
        except StoreError as error:
            activity.logger.warning("the outcome of a tool call is not noted: %s", error)

    async def _made(
        self, spec: ToolSpec, offered: OfferedTool, arguments: dict[str, Json]
    ) -> ToolOutcome:
        self._events.started(arguments)
        try:
            result = await self._called(spec, offered, arguments)
        except Failed as failed:
            outcome = await self._failed(failed, spec)
        else:
            outcome = await self._completed(spec, result)
        self._events.ended(outcome)
        return outcome

    async def _called(
        self, spec: ToolSpec, offered: OfferedTool, arguments: dict[str, Json]
    ) -> ToolResult:
        """Run the tool in its time. Raises Failed, or the error that the server retries."""
        invocation = Invocation(
            arguments=arguments,
            remote=offered.remote,
            idempotency_key=self._request.idempotency_key,
            session_id=self._request.run_id,
            call_id=self._request.call_id,
            attempt=activity.info().attempt,
            progress=self._events.progress,
        )
        try:
            async with asyncio.timeout(spec.timeout), self._open.borrow(spec) as tools:
                return await tools.call(invocation)
        except TimeoutError:
            said = f"timeout: the tool did not end within {spec.timeout:g} s"
            raise Failed(ToolError.TIMEOUT, said) from None
        except BadArguments as error:
            raise Failed(ToolError.INVALID_ARGUMENTS, str(error), error.errors) from None
        except ToolFailure as error:
            kind = ToolError(error.kind)
            if self._may_try_again(spec, kind):
                raise _again(self._redacted(spec, str(error))) from None
            raise Failed(kind, str(error)) from None
        except asyncio.CancelledError:
            raise self._cancelled() from None
        except Exception as error:
            activity.logger.exception("a tool call failed in our own code")
            said = f"{type(error).__name__} in Callboard's own code"
            raise Failed(ToolError.DIED, said) from None

    def _may_try_again(self, spec: ToolSpec, kind: ToolError) -> bool:
        lost = kind in (ToolError.UNAVAILABLE, ToolError.DIED)
        return lost and not self._unsafe and activity.info().attempt < spec.attempts

    def _cancelled(self) -> Exception:
        details = activity.cancellation_details()
        stopping = details is not None and details.worker_shutdown
        if stopping and not self._unsafe:
            return _again("the worker was stopped")
        said = "the worker was stopped" if stopping else "the call was cancelled"
        return Failed(ToolError.CANCELLED, said)

    # after the call

    async def _completed(self, spec: ToolSpec, result: ToolResult) -> ToolOutcome:
        """Return the outcome of a result: what the model reads, and the whole."""
        data, full = result.data, result.text
        if result.is_text:
            decoded = self._redacted(spec, data.decode("utf-8", "replace"))
            data = decoded.encode("utf-8", "replace")
            full = decoded if full is None else full
        if full is None:
            shown = of_binary(result.media_type, max(result.size, len(data)))
        else:
            shown = for_model(_spelled(self._redacted(spec, full), result), spec.max_chars)
        text = await self._kept(shown)
        whole = None
        if shown != full or result.text is not None:
            whole = (await self._stored(data, result.media_type)).ref
        return self._outcome(status="completed", text=text, whole=whole)

    async def _failed(self, failed: Failed, spec: ToolSpec | None = None) -> ToolOutcome:
        said = str(failed) if spec is None else self._redacted(spec, str(failed))
        unknown = failed.kind == ToolError.UNKNOWN or (
            spec is not None
            and self._unsafe
            and failed.kind in (ToolError.TIMEOUT, ToolError.DIED, ToolError.CANCELLED)
        )
        if unknown and failed.kind != ToolError.UNKNOWN:
            said = f"{said}; {NOBODY_KNOWS}"
        shown = for_model(said, spec.max_chars if spec is not None else 4_000)
        return self._outcome(
            status="failed",
            text=await self._kept(f"Error: {shown}"),
            error_kind=failed.kind,
            error=shown[:1_000],
            argument_errors=tuple(for_model(error, 300) for error in failed.errors),
            unknown=unknown,
        )

    def _outcome(self, **more: Any) -> ToolOutcome:
        return ToolOutcome(
            name=self._request.name,
            call_id=self._request.call_id,
            attempt=activity.info().attempt,
            execution_time=time.monotonic() - self._clock,
            started_at=self._began,
            ended_at=_to_the_ms(datetime.now(UTC)),
            **more,
        )

    def _redacted(self, spec: ToolSpec, text: str) -> str:
        return Redactor([self._env.get(name, "") for name in spec.secrets]).text(text)

    async def _kept(self, text: str) -> Value:
        """Store a text that was worked for, and outlast a store that is away for a while."""
        return await keep(self._store, text)

    async def _stored(self, data: bytes, media_type: str) -> Value:
        return Value(ref=await lasting(lambda: self._store.put_bytes(data, media_type)))


def _to_the_ms(moment: datetime) -> datetime:
    """Return a time as it is written: what is read again is the same."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _briefly(outcome: ToolOutcome) -> ToolOutcome:
    """Leave out what the workflow knows: it has many of these in its history."""
    return outcome.model_copy(update={"name": "", "call_id": "", "execution_time": 0.0})


def _spelled(text: str, result: ToolResult) -> str:
    """Return a result as the model reads it: null is nothing, a JSON text is that text."""
    if result.size > len(result.data):
        kept = len(result.data)
        return f"{text}\n[of {result.size:,} bytes the first {kept:,} were kept]"
    if result.media_type != "application/json" or len(text) > 1_000_000:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if value is None:
        return ""
    return value if isinstance(value, str) else text


def _again(message: str) -> ApplicationError:
    """Return the error that the server retries: nothing was begun, or it may be done twice."""
    attempt = activity.info().attempt
    return ApplicationError(
        message[:600],
        type=UNAVAILABLE,
        next_retry_delay=timedelta(seconds=min(RETRY_S * 2 ** (attempt - 1), 10)),
        category=ApplicationErrorCategory.BENIGN,
    )

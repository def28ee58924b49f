"""`call_model`: one streamed provider call, made at most once per attempt.

Promises: the request leaves only after the heartbeat that says so; a later run of the same
activity task finds that heartbeat and refuses; every exit carries the usage seen
(`activities.failures`). Heartbeats, every second whatever the provider does, prove that the
worker lives; the provider is judged by the stream's own three clocks. Deltas go to the spool,
the answer to the store, the reply holds references.
"""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import answers, prompts
from activities.attaching import attached, with_shared
from activities.clients import Clients
from activities.failures import CallState, InvalidOutput, guard
from activities.heartbeats import beating
from activities.keeping import keep
from activities.plans import PlanCache
from activities.reusing import KnownAnswers, request_key, text_of
from activities.turns import LIMITS_AWAY_S as LIMITS_AWAY_S
from activities.turns import turn
from activities.warming import Warming
from contracts.activities import ModelActivities, WaitingCall
from contracts.artifacts import ArtifactRef, Value
from contracts.base import Json
from contracts.calls import (
    CallProgress,
    Continuation,
    ModelCall,
    ModelReply,
    Repair,
    SharedUse,
)
from contracts.files import AttachedFile
from contracts.messages import ChatRequest, Usage
from contracts.plans import Candidate, Plan
from contracts.teams import ModelStep, OutputSpec
from providers.account_limits import LimitsUnreachable
from providers.exceptions import ContentRefused, ProviderError, StreamInterrupted
from providers.spi import ChatReply, ChatStream, LLMClient, Timeouts, TokenCounting
from rules.seams import Seam
from rules.step_files import files_of
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreError
from stores.spooling import AttemptSpool, Spools
from stores.values import load_bindings, load_value

CHUNKS_A_TURN = 32
"""So many of one stream, then the others: heartbeats go on, however much has come at once."""


class CallModel(ModelActivities):
    """The activity, with what it needs to act."""

    def __init__(self, store: ArtifactStore, spools: Spools, clients: Clients) -> None:
        self._store = store
        self._spools = spools
        self._clients = clients
        self._plans = PlanCache(store)

    @activity.defn(name="call_model")
    async def call_model(self, call: ModelCall) -> ModelReply:
        state = CallState()
        attempt = Attempt(self._store, self._spools, self._clients, self._plans, call, state)
        return await guard(attempt.run, state, attempt.keep_partial)

    @activity.defn(name="count_tokens")
    async def count_tokens(self, call: ModelCall) -> int:
        state = CallState()
        attempt = Attempt(self._store, self._spools, self._clients, self._plans, call, state)
        return await attempt.count()

    @activity.defn(name="give_back")
    async def give_back(self, call: WaitingCall) -> None:
        with contextlib.suppress(LimitsUnreachable):
            await self._clients.give_back(call.name, call.candidate)


class Attempt:
    """One run of the activity. What is asked, and what becomes of the answer, may be another's."""

    def __init__(
        self,
        store: ArtifactStore,
        spools: Spools,
        clients: Clients,
        plans: PlanCache,
        call: ModelCall,
        state: CallState,
    ) -> None:
        self._store, self._spools, self._clients, self._plans = store, spools, clients, plans
        self._call, self._state = call, state
        self._before = ""
        self._seam: Seam | None = None
        self._file_tokens = 0
        self._plain: ChatRequest | None = None
        self._files: tuple[AttachedFile, ...] = ()
        self._warming = Warming(call.warms)

    async def run(self) -> ModelReply:
        self._refuse_second_run()
        async with beating(self._progress):
            return await self._make()

    async def count(self) -> int:
        """Return the request's tokens as its provider counts them."""
        _, _, client, request = await self._prepared()
        if not isinstance(client, TokenCounting):
            raise ApplicationError("this provider does not count", non_retryable=True)
        return await client.count_tokens(request)

    async def _prepared(self) -> tuple[OutputSpec, Candidate, LLMClient, ChatRequest]:
        """Return what is wanted, the candidate, its client, and the request as it will be sent."""
        plan = await self._plans.get(self._call.plan)
        step = _model_step(plan.team.agents, self._call.step)
        candidate = plan.candidates[self._call.candidate]
        self._state.provider, self._state.model = candidate.provider, candidate.model
        client = self._clients.client(candidate)
        values = await self._values()
        if self._call.prompt is not None:
            step = step.model_copy(update={"prompt_template": self._call.prompt})
        request = prompts.build_request(plan, step, values, self._call.max_tokens, self._metadata())
        self._file_tokens = plan.file_tokens.get(step.name, 0)
        self._plain = request
        self._files = files_of(plan.team, step)
        request = await self._with_files(request, plan, step, candidate)
        request = await self._continued_or_repaired(request, candidate)
        return step.output, candidate, client, request

    async def _with_files(
        self, request: ChatRequest, plan: Plan, step: ModelStep, candidate: Candidate
    ) -> ChatRequest:
        """Add the step's own files, and the team's shared context before them."""
        use, run_id = self._call.shared or SharedUse(), self._call.run_id
        request = await attached(request, step.files, self._store, run_id, use.uris)
        shared = plan.team.shared_context
        if shared is None or not step.shared_context:
            return request
        return await with_shared(request, shared, self._store, run_id, use, candidate.price)

    async def _make(self) -> ModelReply:
        wanted, candidate, client, request = await self._prepared()
        size = prompts.request_bytes(request)
        self._check_bound(size + self._file_tokens)
        name = self._call.name
        known = KnownAnswers(self._store)
        key = self._reuse_key(candidate, request)
        if key is not None and (found := await self._reused(known, key)) is not None:
            return found
        tokens = prompts.likely_tokens(request, size) + self._file_tokens // 4
        async with turn(self._clients, name, candidate, tokens, self._state):
            reply = await self._stream(client, request)
        made = await self._reply(wanted, reply)
        if key is not None and not reply.tool_calls:
            await known.keep(key, name, made)
        return made

    def _reuse_key(self, candidate: Candidate, request: ChatRequest) -> str | None:
        """Return what an answer is kept under; None where none is to be reused.

        What repairs or continues an answer is about that one alone. Where its files lie makes no
        difference, only what is in them.
        """
        call = self._call
        if not call.reuse_s or call.repair is not None or call.continuation is not None:
            return None
        return request_key(candidate, self._plain or request, self._files)

    async def _reused(self, known: KnownAnswers, key: str) -> ModelReply | None:
        """Return an answer that was paid before; who follows the step is shown it as well."""
        call = self._call
        found = await known.find(key, call.reuse_s, call.want_inline)
        if found is None:
            return None
        self._state.usage, self._state.usage_final = found.usage, True
        spool = self._spools.open_attempt(call.run_id, call.unit, call.attempt, offset=0)
        spool.delta(text_of(await load_value(self._store, found.output)))
        spool.ended(found.finish_reason)
        spool.close()
        return found

    async def _values(self) -> dict[str, Json]:
        """Load what the prompt reads, the item of a list among it."""
        call = self._call
        values = dict(await load_bindings(self._store, call.bindings))
        if call.item is not None:
            items = await self._store.get_json(call.item.items)
            values[call.item.name] = items[call.item.index]
        return values

    def _metadata(self) -> dict[str, str]:
        call = self._call
        return {"run": call.run_id, "agent": call.unit, "attempt": str(call.attempt)}

    def _refuse_second_run(self) -> None:
        """Second lock: a task that the server hands out again after its request was sent."""
        info = activity.info()
        if info.attempt == 1 or not info.heartbeat_details:
            return
        progress = CallProgress.model_validate(info.heartbeat_details[0])
        if progress.phase == "sent":
            self._state.sent = True
            self._state.usage = Usage(
                progress.prompt_tokens, progress.completion_tokens, estimated=True
            )
            raise StreamInterrupted("a worker was lost after it had sent the request")

    async def _continued_or_repaired(
        self, request: ChatRequest, candidate: Candidate
    ) -> ChatRequest:
        call = self._call
        if call.repair is not None:
            answer = await self._store.get_text(call.repair.answer)
            return prompts.repaired(request, answer, call.repair.errors)
        if call.continuation is None:
            return request
        self._before = await self._partial(call.continuation)
        if not self._before:
            return request
        if candidate.can_prefill:
            self._before = self._before.rstrip()
        self._seam = Seam(self._before)
        return prompts.continued(request, self._before, candidate.can_prefill)

    async def _partial(self, continuation: Continuation) -> str:
        """Return the interrupted text, or "" where it is gone: then the attempt starts afresh."""
        if continuation.partial is not None:
            with contextlib.suppress(StoreError):
                return await self._store.get_text(continuation.partial)
        if continuation.spool_attempt is not None:
            call = self._call
            return await self._spools.partial(call.run_id, call.unit, continuation.spool_attempt)
        return ""

    def _check_bound(self, size: int) -> None:
        """Refuse to send more than the reservation paid for."""
        if size > self._call.input_bound and not self._call.counted:
            raise ProviderError(
                f"the prompt has {size:,} bytes, the reservation was made for "
                f"{self._call.input_bound:,}: not sent",
                sent=False,
            )

    async def _stream(self, client: LLMClient, request: ChatRequest) -> ChatReply:
        call, state = self._call, self._state
        timeouts = Timeouts(
            first_token=call.first_token_timeout, idle=call.idle_timeout, total=call.timeout
        )
        spool = self._spools.open_attempt(
            call.run_id, call.unit, call.attempt, offset=len(self._before)
        )
        state.texts, state.chars = [self._before], len(self._before)
        state.started_at = datetime.now(UTC)
        state.sent = True
        activity.heartbeat(self._progress())
        stream = client.open(request, timeouts)
        try:
            return await self._read(stream, spool)
        finally:
            state.usage = stream.usage or state.usage
            state.response_id = stream.response_id
            await stream.aclose()
            spool.close()
            self._warming.close()

    async def _read(self, stream: ChatStream, spool: AttemptSpool) -> ChatReply:
        state, chunks = self._state, 0
        async for chunk in stream:
            if state.first_token_at is None and (chunk.delta_text or chunk.delta_reasoning):
                state.first_token_at = datetime.now(UTC)
                self._warming.told()
            if chunk.usage is not None:
                state.usage = chunk.usage
            if chunk.delta_text:
                self._take(
                    self._seam.feed(chunk.delta_text) if self._seam else chunk.delta_text, spool
                )
            chunks += 1
            if chunks % CHUNKS_A_TURN == 0:
                await asyncio.sleep(0)
        if self._seam is not None:
            self._take(self._seam.finish(), spool)
        if stream.finish_reason is None:
            raise StreamInterrupted("the stream ended without saying that the answer is whole")
        spool.ended(stream.finish_reason)
        state.usage_final = stream.usage is not None
        return await stream.collect()

    def _take(self, text: str, spool: AttemptSpool) -> None:
        if text:
            self._state.texts.append(text)
            self._state.chars += len(text)
            spool.delta(text)

    def _progress(self) -> CallProgress:
        state = self._state
        usage = state.usage or Usage()
        return CallProgress(
            phase="sent" if state.sent else "loading",
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens or _tokens_seen(state.chars),
            chars=state.chars,
            first_token_at=state.first_token_at,
        )

    async def _reply(self, wanted: OutputSpec, reply: ChatReply) -> ModelReply:
        state = self._state
        usage = self._counted(reply.usage)
        state.usage = usage
        notes = list(reply.notes)
        if reply.usage is None:
            notes.append("the provider reported no usage: estimated")
        if reply.finish_reason in ("content_filter", "refusal"):
            raise ContentRefused(f"the provider ended the answer: {reply.finish_reason}")
        if reply.finish_reason == "length":
            notes.append(f"cut at max_tokens ({self._call.max_tokens})")
        value = await self._output(wanted, reply)
        return ModelReply(
            output=await self._kept(value, reply),
            usage=usage,
            finish_reason=reply.finish_reason,
            model=reply.model,
            response_id=reply.response_id,
            started_at=state.started_at,
            first_token_at=state.first_token_at,
            ended_at=datetime.now(UTC),
            notes=tuple(notes),
        )

    async def _kept(self, output: object, reply: ChatReply) -> Value:
        """Store what an answer came to."""
        return await keep(self._store, output, want_inline=self._call.want_inline)

    def _counted(self, told: Usage | None) -> Usage:
        """Return what was reported; where the vendor gave no number, our own count stands in."""
        seen = _tokens_seen(len(self._state.text))
        if told is None:
            return Usage(self._call.input_bound, seen, estimated=True)
        if not told.estimated:
            return told
        prompt = told.prompt_tokens or self._call.input_bound
        answer = max(told.completion_tokens, seen)
        return replace(told, prompt_tokens=prompt, completion_tokens=answer, total_tokens=0)

    async def _output(self, wanted: OutputSpec, reply: ChatReply) -> object:
        text = self._state.text
        if reply.tool_calls:
            calls = [
                {"id": c.id, "name": c.name, "arguments": c.arguments} for c in reply.tool_calls
            ]
            return {"text": text, "tool_calls": calls}
        if not text.strip():
            raise InvalidOutput("the answer is empty")
        if wanted.kind == "text":
            return text
        value, errors = answers.parse_json(text, wanted)
        if errors:
            answer = await self._store.put_text(text)
            listed = "; ".join(errors)
            raise InvalidOutput(
                f"the answer does not fit the schema: {listed}",
                Repair(answer=answer, errors=errors),
            )
        return value

    async def keep_partial(self, text: str) -> ArtifactRef | None:
        """Store the text of a failed attempt, if the store still works: best effort."""
        try:
            return await self._store.put_text(text)
        except Exception as error:
            activity.logger.warning("partial text not kept: %s", type(error).__name__)
            return None


def _model_step(agents: tuple[object, ...], name: str) -> ModelStep:
    for step in agents:
        if isinstance(step, ModelStep) and step.name == name:
            return step
    raise LookupError(name)


def _tokens_seen(chars: int) -> int:
    """Estimate the tokens of a text whose usage was not reported: four characters each."""
    return -(-chars // 4)

"""`call_turn`: one streamed provider call about a stored conversation.

Promises what `call_model` does, by the same code. The request is the agent's system text, the
conversation up to now and the new messages; an answer is appended to the conversation together
with them, so that what is stored always reads as one that a vendor takes: every question with its
answer, every tool call with its result. Without an answer nothing is appended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from temporalio import activity

from activities.attaching import with_shared
from activities.clients import Clients
from activities.failures import CallState, InvalidOutput, guard
from activities.keeping import keep, lasting
from activities.models import Attempt
from activities.plans import PlanCache
from activities.tool_listing import KnownAgents
from contracts.agents import AgentSpec
from contracts.artifacts import ArtifactRef, Value
from contracts.brief import INLINE_BYTES, small_json
from contracts.calls import ModelReply
from contracts.chat_activities import TurnActivities
from contracts.chats import IN_TOOLBOX, AgentPlan, AskedTool, NewMessage, TurnCall, TurnReply
from contracts.enclosures import MessageParts
from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition
from contracts.parts import FileRefPart, Part
from contracts.plans import Candidate
from contracts.teams import OutputSpec
from contracts.tools import OfferedTool, Toolbox
from providers import media
from providers.spi import ChatReply, LLMClient
from rules import compaction
from stores.artifacts import ArtifactStore
from stores.jsontext import json_bytes
from stores.messagefiles import is_stored, with_contents
from stores.spooling import Spools
from stores.transcripts import Transcripts
from stores.values import load_value


class CallTurn(TurnActivities):
    """The activities, with what they need to act."""

    def __init__(self, store: ArtifactStore, spools: Spools, clients: Clients) -> None:
        self._store, self._spools, self._clients = store, spools, clients
        self._plans, self._known = PlanCache(store), Known(KnownAgents(store), Transcripts(store))

    @activity.defn(name="call_turn")
    async def call_turn(self, call: TurnCall) -> TurnReply:
        state = CallState()
        attempt = self._attempt(call, state)
        return await guard(attempt.run, state, attempt.keep_partial)

    @activity.defn(name="count_turn")
    async def count_turn(self, call: TurnCall) -> int:
        return await self._attempt(call, CallState()).count()

    def _attempt(self, call: TurnCall, state: CallState) -> "_TurnAttempt":
        if not call.run_id:
            call = call.model_copy(update={"run_id": activity.info().workflow_id or ""})
        return _TurnAttempt(
            self._store, self._spools, self._clients, self._plans, call, state, self._known
        )


@dataclass(frozen=True)
class Known:
    """What this worker remembers: agents, toolboxes and conversations."""

    agents: KnownAgents
    transcripts: Transcripts


class _TurnAttempt(Attempt):
    """One attempt at an answer within a conversation."""

    def __init__(
        self,
        store: ArtifactStore,
        spools: Spools,
        clients: Clients,
        plans: PlanCache,
        call: TurnCall,
        state: CallState,
        known: Known,
    ) -> None:
        super().__init__(store, spools, clients, plans, call, state)
        self._turn_call = call
        self._agents, self._transcripts = known.agents, known.transcripts
        self._new: list[Message] = []
        self._for_the_caller = False
        self._agent = ""

    async def run(self) -> TurnReply:
        reply = await super().run()
        assert isinstance(reply, TurnReply)
        return reply

    async def _prepared(self) -> tuple[OutputSpec, Candidate, LLMClient, ChatRequest]:
        call = self._turn_call
        boxes = [await self._agents.toolbox(ref) for ref in call.toolboxes]
        self._for_the_caller = any(box.agent is None for box in boxes)
        plan = await self._agents.plan(_plan_of(call, boxes))
        candidate = plan.candidates[call.candidate]
        self._state.provider, self._state.model = candidate.provider, candidate.model
        client = self._clients.client(candidate)
        before = await self._transcripts.read(call.transcript) if call.transcript else []
        self._new = await self._messages(before[-1:])
        tools = [_offered(tool) for box in boxes for tool in box.tools]
        self._agent = plan.agent.name
        if call.summary:
            plan = _summing(plan)
        said = await self._with_contents([*before, *self._new], candidate)
        request = _request(plan, said, tools, call.max_tokens, self._metadata())
        request = await self._with_context(request, candidate)
        request = await self._continued_or_repaired(request, candidate)
        return wanted(plan.agent), candidate, client, request

    async def _with_contents(self, before: list[Message], candidate: Candidate) -> list[Message]:
        """Return the conversation with the files that it refers to, which the store has."""
        for part in (part for message in before for part in message.parts):
            if isinstance(part, FileRefPart) and is_stored(part):
                self._file_tokens += _file_tokens(part, candidate)
        return await with_contents(before, self._store)

    async def _with_context(self, request: ChatRequest, candidate: Candidate) -> ChatRequest:
        """Let the conversation begin with a team's shared context, where it does."""
        use = self._turn_call.shared
        if use is None or use.context is None:
            return request
        plan = await self._plans.get(use.context.plan)
        self._file_tokens += plan.file_tokens.get(use.context.step, 0)
        shared, run_id = plan.team.shared_context, self._call.run_id
        if shared is None:
            return request
        return await with_shared(request, shared, self._store, run_id, use, candidate.price)

    async def _messages(self, last: Sequence[Message]) -> list[Message]:
        """Return what is new; results belong to the last answer's calls, in their order."""
        asked = [call for message in last for call in message.tool_calls]
        found = []
        for number, new in enumerate(self._turn_call.messages):
            value = await load_value(self._store, new.content)
            content = value if isinstance(value, str) else json_bytes(value).decode()
            name, call_id = new.name, new.tool_call_id
            if new.role == "tool" and call_id is None:
                name, call_id = asked[number].name, asked[number].id
            parts = await self._enclosed(new)
            found.append(Message(new.role, content, name=name, tool_call_id=call_id, parts=parts))
        return found

    async def _enclosed(self, new: NewMessage) -> tuple[Part, ...]:
        """Return what a message has beside its text, by reference as it is remembered."""
        if new.enclosed is None:
            return ()
        return (await self._store.get_model(new.enclosed.parts, MessageParts)).parts

    async def _reply(self, wanted: OutputSpec, reply: ChatReply) -> ModelReply:
        paid = await super()._reply(wanted, reply)
        update: dict[str, object] = {}
        if paid.model == self._state.model:
            update["model"] = None
        calls = tuple(self._named(number, one) for number, one in enumerate(reply.tool_calls, 1))
        answer = Message(
            "assistant", self._state.text, tool_calls=calls, vendor_state=reply.vendor_state
        )
        ref = await lasting(lambda: self._carried_on(answer))
        length, tokens = await self._transcripts.size(ref)
        return TurnReply(
            **(paid.__dict__ | update),
            transcript=ref,
            size=tokens,
            length=length,
            asked=tuple([await self._tool_asked(one) for one in calls]),
        )

    async def _carried_on(self, answer: Message) -> ArtifactRef:
        """Store the conversation with its answer, or the summary that stands for it."""
        before = self._turn_call.transcript
        if before is None or not self._turn_call.summary:
            return await self._transcripts.append(before, [*self._new, answer])
        said = Message("user", compaction.summary(self._agent, answer.content))
        return await self._transcripts.compact(before, said, by=self._agent)

    async def _kept(self, output: object, reply: ChatReply) -> Value:
        """Store what was said; what is said beside tool calls is in the conversation only."""
        if reply.tool_calls and not self._for_the_caller:
            return Value()
        return await super()._kept(output, reply)

    async def _output(self, wanted: OutputSpec, reply: ChatReply) -> object:
        """Return what was said; beside tool calls that may be nothing, and need not fit."""
        if self._turn_call.summary and reply.tool_calls:
            raise InvalidOutput("it asks for tools in place of a summary")
        if reply.tool_calls:
            return self._state.text
        return await super()._output(wanted, reply)

    def _named(self, number: int, call: ToolCall) -> ToolCall:
        """Give a call that has none an id."""
        if call.id:
            return call
        fields = {name: getattr(call, name) for name in call.__dataclass_fields__}
        return ToolCall(**{**fields, "id": f"call_{self._turn_call.unit}_{number}"})

    async def _tool_asked(self, call: ToolCall) -> AskedTool:
        arguments = small_json(call.arguments)
        if arguments.size_bytes > INLINE_BYTES:
            arguments = await keep(self._store, call.arguments)
        call_id = call.id if self._for_the_caller else ""
        return AskedTool(
            id=call_id, name=call.name, arguments=arguments, problem=call.arguments_error
        )


def _file_tokens(part: FileRefPart, candidate: Candidate) -> int:
    """Return the most that a file of the conversation takes of a candidate's prompt."""
    size, window = part.size_bytes or 0, candidate.context_window
    own = media.file_tokens(candidate.model, part.mime_type, size, window, part.pages)
    return own + (media.NAME_BYTES if part.name else 0)


def _plan_of(call: TurnCall, boxes: Sequence[Toolbox]) -> ArtifactRef:
    """Return where the agent's plan is: the call says so, or its first toolbox."""
    if call.plan != IN_TOOLBOX:
        return call.plan
    kept = boxes[0].plan if boxes else None
    if kept is None:
        raise LookupError("neither the call nor its toolbox names the plan")
    return kept


def _offered(tool: OfferedTool) -> ToolDefinition:
    return ToolDefinition(tool.name, tool.description, schema=tool.parameters)


def _summing(plan: AgentPlan) -> AgentPlan:
    """Return an agent that answers in plain text and calls no tool, whatever it does else."""
    agent = plan.agent.model_copy(update={"response_format": None})
    return plan.model_copy(update={"agent": agent, "tool_choice": "none"})


def wanted(agent: AgentSpec) -> OutputSpec:
    """Return what an agent's final answer must be."""
    form = agent.response_format
    if form is None:
        return OutputSpec()
    return OutputSpec(kind="json", schema_=form.schema_, repairs=form.repairs)


def _request(
    plan: AgentPlan,
    messages: Sequence[Message],
    tools: Sequence[ToolDefinition],
    max_tokens: int,
    metadata: dict[str, str],
) -> ChatRequest:
    """Return the request of a first, whole attempt."""
    params, form = plan.agent.model.params, plan.agent.response_format
    return ChatRequest(
        messages=list(messages),
        system=plan.system or None,
        max_tokens=max_tokens,
        temperature=params.temperature if params.temperature is not None else plan.temperature,
        top_p=params.top_p,
        stop=list(params.stop) if params.stop else None,
        seed=params.seed,
        reasoning_effort=params.reasoning_effort,
        thinking_budget=params.thinking_budget,
        tools=list(tools) or None,
        tool_choice=plan.tool_choice if tools else None,
        response_schema=form.schema_ if form else None,
        json_mode=form is not None and form.schema_ is None,
        metadata=metadata,
    )

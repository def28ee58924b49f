"""What can be said to a conversation: updates whose validators refuse without leaving an event.

Each is accepted and answered within one workflow task, so that none is ever in the way of a new
history; what follows from it is the turn's business. Each is carried out once however often it
is sent, by its `request_id`.
"""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.chat_books import ChatBooks
from contracts.chat_memory import Said
from contracts.chats import (
    CHAT_BUSY,
    CHAT_ENDED,
    CHAT_MOVING,
    MOST_MESSAGE_BYTES,
    MOST_WAITING,
    AgentChange,
    ChatView,
    ClearRequest,
    CompactRequest,
    EndRequest,
    SayAccepted,
    SayRequest,
    StopRequest,
    ToolWord,
    TurnQuery,
    TurnView,
)
from contracts.files import INLINE_BYTES
from contracts.money import misfit
from contracts.updates import Accepted, BudgetRaise, BudgetView
from workflows.chat_state import ChatState
from workflows.turn_money import TurnReserver

UNCHANGED = Accepted(status="unchanged")


class ChatControl:
    """The updates and queries of a conversation's workflow."""

    _state: ChatState
    _reserver: TurnReserver
    _moving: bool
    _ending: EndRequest | None
    _words: dict[str, ToolWord]

    def _stop_turn(self) -> None:
        """End the answer under way."""
        raise NotImplementedError

    @workflow.update(name="say")
    def say(self, said: SayRequest) -> SayAccepted:
        """Give a message its turn; the answer comes by the spool."""
        known = said.request_id in self._state.requests
        turn = self._state.accept(said.request_id, said.text, said.clear, said.enclosed)
        return SayAccepted(turn=turn, known=known)

    @say.validator
    def _check_say(self, said: SayRequest) -> None:
        if said.request_id in self._state.requests:
            return
        self._has_room()
        if not said.text.size_bytes and said.enclosed is None:
            raise ValueError("the message is empty")
        if said.text.size_bytes > MOST_MESSAGE_BYTES:
            raise ValueError(
                f"the message has {said.text.size_bytes:,} bytes, {MOST_MESSAGE_BYTES:,} at most"
            )
        if said.enclosed is not None:
            self._check_files(said)

    def _check_files(self, said: SayRequest) -> None:
        """Refuse more than one request holds: each is sent again with whatever follows it."""
        assert said.enclosed is not None
        before = 0 if said.clear else self._state.files.size_bytes
        size = before + said.enclosed.load.size_bytes
        if size > INLINE_BYTES:
            raise ValueError(
                f"the files of the conversation have {size:,} bytes with these, {INLINE_BYTES:,} "
                "can be sent: clear it, or have it summed up, first"
            )

    @workflow.update(name="clear")
    def clear(self, request: ClearRequest) -> Accepted:
        """Forget the conversation once what was said before is answered."""
        state = self._state
        if not state.remember(request.request_id):
            return UNCHANGED
        if state.turn is None and not state.queue:
            state.forget()
        else:
            state.queue.append(Said(turn=None, clear=True))
        return Accepted()

    @clear.validator
    def _check_clear(self, request: ClearRequest) -> None:
        self._open()

    @workflow.update(name="compact")
    def compact(self, request: CompactRequest) -> SayAccepted:
        """Sum up the conversation in a turn of its own; the summary is its answer."""
        known = request.request_id in self._state.requests
        return SayAccepted(turn=self._state.accept(request.request_id, None), known=known)

    @compact.validator
    def _check_compact(self, request: CompactRequest) -> None:
        state = self._state
        if request.request_id in state.requests:
            return
        self._has_room()
        if state.turn is None and not state.queue and state.conversation.length <= 1:
            raise ValueError("there is nothing to sum up")

    @workflow.update(name="stop")
    def stop(self, request: StopRequest) -> Accepted:
        """End the answer under way."""
        turn = self._state.turn
        if turn is None or request.turn not in (None, turn):
            return UNCHANGED
        if not self._state.remember(request.request_id):
            return UNCHANGED
        self._stop_turn()
        return Accepted()

    @stop.validator
    def _check_stop(self, request: StopRequest) -> None:
        self._open()

    @workflow.update(name="end")
    def end(self, request: EndRequest) -> Accepted:
        """End the conversation for good. What waits is not answered any more."""
        if self._ending is not None:
            return UNCHANGED
        self._ending = request
        self._stop_turn()
        return Accepted()

    @end.validator
    def _check_end(self, request: EndRequest) -> None:
        if self._moving:
            self._open()

    @workflow.update(name="use_agent")
    def use_agent(self, change: AgentChange) -> Accepted:
        """Let another model, or a changed agent, answer from the next turn on."""
        state = self._state
        if not state.remember(change.request_id) or change.header == state.agent:
            return UNCHANGED
        if change.header.queues != state.agent.queues or change.header.agent != state.agent.agent:
            state.listed = None
        state.use(change.header)
        return Accepted()

    @use_agent.validator
    def _check_agent(self, change: AgentChange) -> None:
        self._open()

    @workflow.update(name="decide")
    def decide(self, word: ToolWord) -> Accepted:
        """Take a person's word on a tool call that waits for it."""
        if not self._state.remember(word.request_id) or word.call_id not in self._state.pending:
            return UNCHANGED
        self._words[word.call_id] = word
        del self._state.pending[word.call_id]
        return Accepted()

    @decide.validator
    def _check_decide(self, word: ToolWord) -> None:
        self._open()
        state = self._state
        if word.request_id and word.request_id in state.requests:
            return
        if word.call_id not in state.pending:
            waiting = ", ".join(state.pending) or "nothing"
            raise ValueError(f"{word.call_id} waits for nobody (waiting: {waiting})")

    @workflow.update(name="raise_budget")
    def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise what the conversation may cost; what waits for money goes on."""
        ledger = self._state.ledger
        if self._state.remember(raised.request_id) and raised.to > ledger.cap:
            self._reserver.raise_cap(raised.to)
        return BudgetView(budget=ledger.cap, cost=ledger.counted)

    @raise_budget.validator
    def _check_raise(self, raised: BudgetRaise) -> None:
        self._open()
        cap = self._state.ledger.cap
        if raised.request_id not in self._state.requests and raised.to < cap:
            raise ValueError(f"the budget is {cap} already; it can only be raised")
        if (wrong := misfit(raised.to)) is not None:
            raise ValueError(f"the budget {wrong}")

    @workflow.query(name="chat")
    def chat(self) -> ChatView:
        """Return how the conversation stands."""
        return self._state.view()

    @workflow.query(name="books")
    def books(self) -> ChatBooks:
        """Return what the conversation cost, attempt by attempt."""
        return self._state.books()

    @workflow.query(name="turn")
    def turn(self, query: TurnQuery) -> TurnView:
        """Return how far a turn is, and its result."""
        state = self._state
        result = state.results.get(query.turn)
        if result is not None:
            return TurnView(state="done", result=result)
        if query.turn == state.turn:
            pending = tuple(state.pending.values())
            return TurnView(
                state="running",
                pending=pending,
                said=state.saying,
                paused_for=state.paused_for,
                enclosed=state.enclosed,
            )
        waiting = next((said for said in state.queue if said.turn == query.turn), None)
        if (waiting or state.start.single) and state.phase != "terminated":
            text, enclosed = (waiting.text, waiting.enclosed) if waiting else (None, None)
            return TurnView(state="waiting", said=text, enclosed=enclosed)
        return TurnView(state="forgotten")

    def _has_room(self) -> None:
        """Raise unless a message can be given its turn."""
        self._open()
        if self._state.waiting >= MOST_WAITING:
            raise ApplicationError(
                f"{MOST_WAITING} messages wait for their turn already: wait for an answer",
                type=CHAT_BUSY,
            )

    def _open(self) -> None:
        """Raise unless the conversation can be told something."""
        if self._ending is not None or self._state.phase == "terminated":
            raise ApplicationError("the conversation has ended", type=CHAT_ENDED)
        if self._moving:
            raise ApplicationError(
                "the conversation goes on in a new history: say it again", type=CHAT_MOVING
            )

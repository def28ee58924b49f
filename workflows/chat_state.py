"""What a conversation knows, in one object: it goes whole from one history into the next.

Only references and numbers: the conversation's text is in the store. Of what has ended, the last
KEPT_TURNS turns and their attempts go on; the ledger's totals cover all. For the bill the attempts
of older turns are kept too, as JSON, as long as this history lasts: whoever wants those of a
history before asks that one.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from contracts.artifacts import ArtifactRef, Value
from contracts.chat_books import ChatBooks
from contracts.chat_memory import ChatMemory, Said
from contracts.chats import (
    AgentHeader,
    ChatPhase,
    ChatStart,
    ChatView,
    Listed,
    PendingTool,
    TurnResult,
    turn_unit,
)
from contracts.enclosures import Enclosed, FileLoad
from contracts.runs import AttemptRecord
from rules.attempts import Outcome, open_circuits
from rules.ledger import Ledger
from workflows.chat_fitting import fitting
from workflows.money_waits import MoneyWaits
from workflows.state import CIRCUIT_MEMORY, REMEMBERED
from workflows.talk import Conversation
from workflows.turns import header_of

KEPT_TURNS = 20
"""Turns whose results can be asked for. Who was away longer reads the conversation itself."""

EARLIER = "earlier"
"""The ledger's entry for all turns that are no longer told apart."""


class _NoGrant:
    """A conversation has a budget of its own."""

    budget: Decimal | None = None


class ChatState:
    """The memory of a conversation; the books of its attempts."""

    def __init__(self, start: ChatStart, now: datetime) -> None:
        self.start = start
        self.plans: dict[str, ArtifactRef] = {}
        self._inner: dict[str, ArtifactRef] = {}
        self._older: list[bytes] = []
        self.request = _NoGrant()
        self.use(start.header)
        self.ledger = Ledger(start.header.budget)
        self.attempts: dict[str, AttemptRecord] = {}
        self._counts: dict[str, int] = {}
        self._endings: dict[str, list[Outcome]] = {}
        self.stopping = False
        self.paused = False  # never: who talks is who would hold it back
        self.money = MoneyWaits()
        self.phase: ChatPhase = "initializing"
        self.conversation = Conversation()
        self.queue: list[Said] = []
        self.turn: int | None = None
        self.saying: Value | None = None
        self.enclosed: Enclosed | None = None
        self.last_turn = 0
        self.messages = 0
        self.turns = 0
        self.tokens = 0
        self.requests: dict[str, int] = {}
        self.results: dict[int, TurnResult] = {}
        self.pending: dict[str, PendingTool] = {}
        self.listed: tuple[Listed, ...] | None = None
        self.started_at = now
        if start.carried is not None:
            self._restore(ChatMemory.model_validate(start.carried))

    def use(self, agent: AgentHeader) -> None:
        """Let an agent answer from now on."""
        self.agent = agent
        self.plans[agent.plan.sha256] = agent.plan
        self._inner |= {ref.sha256: ref for ref in agent.children.values()}
        self.header = header_of(agent)

    # the books

    def attempt_count(self, unit: str) -> int:
        """Return how many attempts a turn has had."""
        return self._counts.get(unit, 0)

    def record(self, attempt: AttemptRecord) -> None:
        """Add an attempt, or replace what was known of it."""
        before = self.attempts.get(attempt.id)
        seen = before.usage.total_tokens if before and before.usage else 0
        self.tokens += (attempt.usage.total_tokens if attempt.usage else 0) - seen
        self.attempts[attempt.id] = attempt
        self._counts[attempt.step] = max(self.attempt_count(attempt.step), attempt.number)

    def note_ending(self, provider: str, kind: str | None, now: datetime) -> None:
        """Remember how a call to a provider ended, for its circuit."""
        endings = self._endings.setdefault(provider, [])
        endings.append(Outcome(at=now.timestamp(), kind=kind))
        del endings[:-CIRCUIT_MEMORY]

    def failing_providers(self, now: datetime) -> frozenset[str]:
        """Return the providers that are to be passed over for a while."""
        return open_circuits(self._endings, now.timestamp())

    # the turns

    def accept(
        self,
        request_id: str,
        text: Value | None,
        clear: bool = False,
        enclosed: Enclosed | None = None,
    ) -> int:
        """Give a message its turn; one that was said before keeps the turn that it had.

        Without text it is the turn in which the conversation is summed up.
        """
        known = self.requests.get(request_id)
        if known is not None:
            return known
        self.last_turn += 1
        self.remember(request_id, self.last_turn)
        self.queue.append(
            Said(
                turn=self.last_turn,
                text=text,
                clear=clear,
                compact=text is None,
                enclosed=enclosed,
            )
        )
        return self.last_turn

    def remember(self, request_id: str, turn: int = 0) -> bool:
        """Remember a command; False where it was carried out before. Without an id it is new."""
        if request_id in self.requests:
            return False
        if request_id:
            self.requests[request_id] = turn
        while len(self.requests) > REMEMBERED:
            del self.requests[next(iter(self.requests))]
        return True

    @property
    def paused_for(self) -> str | None:
        """Why the conversation waits for money, if it does."""
        return self.money.latest

    @property
    def waiting(self) -> int:
        """How many messages wait for their turn."""
        return sum(said.turn is not None for said in self.queue)

    @property
    def files(self) -> FileLoad:
        """The files of what is remembered, of what is being answered, and of what waits."""
        said = [self.enclosed, *(said.enclosed for said in self.queue)]
        return sum((one.load for one in said if one is not None), self.conversation.files)

    def forget(self) -> None:
        """Begin the conversation anew. What it cost stays counted."""
        self.conversation = Conversation()
        self.messages = 0

    def finish(self, result: TurnResult, conversation: Conversation | None) -> None:
        """Write a turn down; with an answer, the conversation goes on from there."""
        if conversation is not None:
            self.conversation = conversation
            self.messages += 1
        self.turns += 1
        self.results[result.turn] = result
        while len(self.results) > KEPT_TURNS:
            del self.results[next(iter(self.results))]
        kept = {turn_unit(turn) for turn in self.results}
        gone = (a for a in self.attempts.values() if _turn_of(a.step) not in kept)
        self._older += [a.model_dump_json(exclude_defaults=True).encode() for a in gone]
        self.attempts = {key: a for key, a in self.attempts.items() if _turn_of(a.step) in kept}
        self._counts = {unit: n for unit, n in self._counts.items() if _turn_of(unit) in kept}

    def attempts_of(self, turn: int) -> list[AttemptRecord]:
        """Return a turn's attempts in order."""
        return [a for a in self.attempts.values() if _turn_of(a.step) == turn_unit(turn)]

    def view(self) -> ChatView:
        """Answer the query `chat`."""
        candidates = self.agent.candidates
        first = candidates[self.agent.node.candidates[0]] if self.agent.node.candidates else None
        return ChatView(
            chat_id=self.start.chat_id,
            agent=self.agent.name,
            phase=self.phase,
            model=f"{first.provider} {first.model}" if first else "",
            turn=self.turn,
            last_turn=self.last_turn,
            waiting=self.waiting,
            messages=self.messages,
            max_messages=self.start.max_messages,
            transcript=self.conversation.transcript,
            plan=self.agent.plan,
            pending=tuple(self.pending.values()),
            problems=tuple(p for one in self.listed or () for p in one.listing.problems),
            cost=self.ledger.counted,
            uncertain=self.ledger.uncertain,
            reserved=self.ledger.reserved,
            budget=self.ledger.cap,
            tokens=self.tokens,
            paused_for=self.paused_for,
            started_at=self.started_at,
            attempts=tuple(self.attempts.values()),
            files=self.files,
        )

    def books(self) -> ChatBooks:
        """Answer the query `books`."""
        ledger = self.ledger
        older = (AttemptRecord.model_validate_json(one) for one in self._older)
        return ChatBooks(
            chat_id=self.start.chat_id,
            agent=self.agent.name,
            budget=ledger.cap,
            cost=ledger.counted,
            served=ledger.served,
            uncertain=ledger.uncertain,
            reserved=ledger.reserved,
            attempts=(*older, *self.attempts.values()),
            plans=tuple(self.plans.values()),
            inner=tuple(self._inner.values()),
        )

    # from history to history

    def carried(self) -> ChatMemory:
        """Return all that the next history has to know."""
        ledger = self.ledger.to_state()
        total = sum(ledger.by_step.values(), Decimal(0))
        results, attempts = fitting(tuple(self.results.values()), self.attempts.values())
        return ChatMemory(
            transcript=self.conversation.transcript,
            size=self.conversation.size,
            length=self.conversation.length,
            last_turn=self.last_turn,
            messages=self.messages,
            turns=self.turns,
            tokens=self.tokens,
            queue=tuple(self.queue),
            requests=self.requests,
            results=results,
            attempts=attempts,
            ledger=ledger.model_copy(update={"by_step": {EARLIER: total}, "below": {}}),
            endings=_plain(self._endings),
            listed=self.listed,
            started_at=self.started_at,
            files=self.conversation.files,
        )

    def _restore(self, carried: ChatMemory) -> None:
        self.conversation = Conversation(
            carried.transcript, carried.size, carried.length, carried.files
        )
        self.last_turn, self.messages = carried.last_turn, carried.messages
        self.turns = carried.turns
        self.queue, self.requests = list(carried.queue), dict(carried.requests)
        self.results = {result.turn: result for result in carried.results}
        for attempt in carried.attempts:
            self.record(attempt)
        self.tokens = carried.tokens
        self.ledger = Ledger.from_state(carried.ledger)
        self._endings = {
            provider: [Outcome(at=at, kind=kind) for at, kind in known]
            for provider, known in carried.endings.items()
        }
        self.listed = carried.listed
        self.started_at = carried.started_at


def _plain(
    endings: Mapping[str, Iterable[Outcome]],
) -> dict[str, tuple[tuple[float, str | None], ...]]:
    return {name: tuple((one.at, one.kind) for one in known) for name, known in endings.items()}


def _turn_of(unit: str) -> str:
    """Return the turn that a unit of work belongs to: "t3" of a tool's "t3.1.2"."""
    return unit.partition(".")[0]

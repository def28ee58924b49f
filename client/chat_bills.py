"""The bill of a conversation: every call of a model that any of its histories remembers.

A conversation that has gone on in a new history is asked history by history; what the server no
longer has is one line, "earlier", so that the lines always add up to the ledger.
"""

from collections.abc import Iterable
from decimal import Decimal

from temporalio.service import RPCError

from client.chat_asking import asked
from client.chats import Chats
from client.runs import ASK_LIMIT
from contracts.artifacts import ArtifactRef
from contracts.chat_books import ChatBooks
from contracts.chats import AgentHeader, AgentPlan
from contracts.plans import Candidate
from contracts.runs import AttemptRecord, RunCost, SlicePart
from rules.billing import Bill, Line, by_step
from stores.artifacts import ArtifactStore
from workflows.chat import ChatWorkflow

EARLIER = "earlier"
MOST_HISTORIES = 1_000


async def chat_bill(chats: Chats, chat_id: str) -> Bill:
    """Return a conversation's bill. Raises UnknownChat, NoWorker, ServerUnreachable, StoreError."""
    books = [await _books(chats, chat_id, run) for run in await _histories(chats, chat_id)]
    last = books[-1]
    attempts = {attempt.id: attempt for one in books for attempt in one.attempts}
    candidates = await _candidates(chats.runs.store, books)
    made = sorted(attempts.values(), key=_order)
    lines = [Line(chat_id, one.id, one, candidates.get((one.provider, one.model))) for one in made]
    rest = rest_of(last, made)
    if rest is not None:
        lines.insert(0, Line(chat_id, EARLIER, rest, is_sum=True))
    records = tuple(line.attempt for line in lines)
    cost = RunCost(
        run_id=chat_id,
        budget=last.budget,
        cost=last.cost,
        served=last.served,
        uncertain=last.uncertain,
        reserved=last.reserved,
        by_step=by_step(records),
        attempts=records,
    )
    return Bill(chat_id, cost, tuple(lines))


def _order(attempt: AttemptRecord) -> tuple[int, str]:
    """Order by turns, and within them by when they began."""
    turn = attempt.step.partition(".")[0].removeprefix("t")
    return (int(turn) if turn.isdecimal() else 0, str(attempt.queued_at or ""))


def rest_of(books: ChatBooks, known: Iterable[AttemptRecord]) -> AttemptRecord | None:
    """Return an entry for what the ledger counts beyond the attempts that are known."""
    known = list(known)
    cost = books.cost - sum((one.cost for one in known), Decimal(0))
    served = books.served - sum((one.served for one in known), Decimal(0))
    if not cost and not served:
        return None
    return AttemptRecord(
        step=EARLIER,
        number=1,
        provider="",
        model="",
        state="settled",
        reserved=cost,
        cost=cost,
        served=served,
        outcome="completed",
        part=SlicePart(run_id=books.chat_id),
    )


async def _histories(chats: Chats, chat_id: str) -> list[str | None]:
    """Return the ids of a conversation's histories, oldest first; the newest is None."""
    query = f"WorkflowId = '{chat_id}'"
    try:
        found = [one async for one in chats.client.list_workflows(query, limit=MOST_HISTORIES)]
    except RPCError:
        found = []
    older = sorted(found, key=lambda one: one.start_time)[:-1]
    return [*(one.run_id for one in older), None]


async def _books(chats: Chats, chat_id: str, run_id: str | None) -> ChatBooks:
    handle = chats.client.get_workflow_handle_for(ChatWorkflow.run, chat_id, run_id=run_id)
    return await asked(chat_id, lambda: handle.query(ChatWorkflow.books, rpc_timeout=ASK_LIMIT))


async def _candidates(
    store: ArtifactStore, books: Iterable[ChatBooks]
) -> dict[tuple[str, str], Candidate]:
    """Return whom the plans name, by provider and model."""
    found: dict[tuple[str, str], Candidate] = {}
    plans = {ref.sha256: ref for one in books for ref in one.plans}
    for ref in plans.values():
        plan = await store.get_model(ref, AgentPlan)
        found |= {(one.provider, one.model): one for one in plan.candidates}
    waiting = [ref for one in books for ref in one.inner]
    seen: set[str] = set()
    while waiting:
        header = await _header(store, waiting.pop(), seen)
        if header is not None:
            found |= {(c.provider, c.model): c for c in header.candidates} | found
            waiting += header.children.values()
    return found


async def _header(store: ArtifactStore, ref: ArtifactRef, seen: set[str]) -> AgentHeader | None:
    if ref.sha256 in seen:
        return None
    seen.add(ref.sha256)
    return await store.get_model(ref, AgentHeader)

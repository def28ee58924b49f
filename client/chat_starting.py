"""What a conversation is started with, and how it is found again: memo, summary, attributes."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from client.chat_values import ChatLine
from contracts import search
from contracts.chat_books import TITLE
from contracts.chats import CHAT_WORKFLOW, AgentHeader, ChatStart
from contracts.search import BUDGET_USED, COST, STATUS, TEAM, TOKENS

AGENT, PURPOSE = "agent", "purpose"
"""Memos: the agent's name, and what a conversation is for that no person holds."""


def beginning(start: ChatStart, queue: str, purpose: str = "") -> dict[str, Any]:
    """Return the arguments that start a conversation, or join the one that goes on."""
    agent = start.header.name
    return {
        "id": start.chat_id,
        "task_queue": queue,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "static_summary": f"{purpose or 'conversation'} with {agent}",
        "memo": {AGENT: agent, **({PURPOSE: purpose} if purpose else {})},
        "search_attributes": _attributes(start.header) if start.searchable else None,
    }


async def lines(client: Client, where: str, limit: int) -> AsyncIterator[ChatLine]:
    """Yield conversations that people hold, newest first. `where` narrows the search.

    Each once, by its newest history: when that began is all that the server can say of many.
    """
    query = f"WorkflowType = '{CHAT_WORKFLOW}' AND {search.NEWEST}"
    query += f" AND {where}" if where else ""
    count = 0
    async for one in client.list_workflows(query):
        memo = await one.memo()
        if memo.get(PURPOSE):
            continue
        yield _line(one, memo)
        count += 1
        if count >= limit:
            return


def _line(one: WorkflowExecution, memo: Any) -> ChatLine:
    found = one.typed_search_attributes
    cost = found.get(SearchAttributeKey.for_float(COST))
    return ChatLine(
        chat_id=one.id,
        agent=str(memo.get(AGENT, "")),
        open=one.status is WorkflowExecutionStatus.RUNNING,
        started_at=one.start_time,
        closed_at=one.close_time,
        title=str(memo.get(TITLE, "")),
        phase=found.get(SearchAttributeKey.for_keyword(STATUS)) or "",
        cost=None if cost is None else Decimal(str(cost)),
        tokens=found.get(SearchAttributeKey.for_int(TOKENS)) or 0,
    )


def _attributes(header: AgentHeader) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(TEAM), header.name[:200]),
            SearchAttributePair(SearchAttributeKey.for_keyword(STATUS), "initializing"),
            SearchAttributePair(SearchAttributeKey.for_float(COST), 0.0),
            SearchAttributePair(SearchAttributeKey.for_int(TOKENS), 0),
            SearchAttributePair(SearchAttributeKey.for_int(BUDGET_USED), 0),
        ]
    )

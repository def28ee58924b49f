"""What the Temporal UI and `list` show of a conversation: a title, search attributes, a table.

The attributes are written when a turn has ended, in the workflow task that ends it: one event a
turn, so that what a conversation cost is right while it rests. The title (how its first message
begins) is one event in all. The table is none: it is read by query.
"""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from contracts import search
from contracts.artifacts import Value
from contracts.chat_books import TITLE, TITLE_CHARS
from contracts.chats import TurnResult
from workflows.chat_state import ChatState

STATUS = SearchAttributeKey.for_keyword(search.STATUS)
COST = SearchAttributeKey.for_float(search.COST)
TOKENS = SearchAttributeKey.for_int(search.TOKENS)
BUDGET_USED = SearchAttributeKey.for_int(search.BUDGET_USED)


class ChatDisplay:
    """Writes a conversation's title, attributes and table."""

    def __init__(self, state: ChatState) -> None:
        self._state = state

    def entitle(self, first: Value) -> None:
        """Name the conversation after its first message."""
        title = " ".join(first.preview.split())[:TITLE_CHARS]
        if self._state.start.searchable and title:
            workflow.upsert_memo({TITLE: title})

    def update(self) -> None:
        """Show the conversation as it is now."""
        state = self._state
        workflow.set_current_details(table(state))
        if state.start.searchable:
            workflow.upsert_search_attributes(_attributes(state))


def _attributes(state: ChatState) -> Sequence[SearchAttributeUpdate[Any]]:
    return [
        STATUS.value_set(state.phase),
        COST.value_set(float(state.ledger.counted)),
        TOKENS.value_set(state.tokens),
        BUDGET_USED.value_set(state.ledger.crossed),
    ]


def table(state: ChatState) -> str:
    """Return the conversation as Markdown: its figures, then its last turns, newest last.

    Amounts carry no dollar sign: the UI would take a pair of them for a formula.
    """
    view = state.view()
    lines = [
        f"**{view.agent}** is {view.phase}: {view.cost:.4f} of {view.budget:.2f} USD,"
        f" {view.tokens:,} tokens, {view.messages} messages remembered",
        "",
        "| turn | status | by | calls | tools | USD |",
        "| ---: | --- | --- | ---: | ---: | ---: |",
    ]
    return "\n".join([*lines, *map(_line, state.results.values())])


def _line(result: TurnResult) -> str:
    by = f"{result.provider} {result.model}" if result.provider else ""
    return (
        f"| {result.turn} | {result.status.value} | {by} | {result.calls} "
        f"| {len(result.tools)} | {result.cost:.4f} |"
    )

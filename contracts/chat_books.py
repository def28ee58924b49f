"""What a conversation tells of its money, for the bill."""

from decimal import Decimal

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.runs import AttemptRecord

TITLE, TITLE_CHARS = "title", 60
"""The memo that holds how a conversation's first message begins, and how much of it."""


class ChatBooks(Frozen):
    """Answer to the query `books`: what this history of the conversation knows of its money.

    `attempts` are those of its turns, and of the last ones before it: a conversation that goes on
    in a new history leaves older ones in the one before. `cost` covers all. `plans` are the
    stored AgentPlans that attempts were made by, with their prices; `inner` the stored AgentHeaders
    of the agents and prompts that are tools of theirs.
    """

    chat_id: str
    agent: str
    budget: Decimal
    cost: Decimal
    served: Decimal
    uncertain: Decimal
    reserved: Decimal
    attempts: tuple[AttemptRecord, ...] = ()
    plans: tuple[ArtifactRef, ...] = ()
    inner: tuple[ArtifactRef, ...] = ()

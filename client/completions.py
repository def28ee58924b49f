"""An answer to a conversation that its caller brings along whole: durable, and given once.

Strategy: the conversation is stored as it is and carried into a chat workflow that answers its end
as turn 1 and is over then. The workflow's id is the request's: who asks again joins what is under
way, or finds the answer that there is, for as long as the server remembers it. Tools that come
with the request are the caller's own: the model is offered them, and calls of them are the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from client.chat_starting import AGENT, PURPOSE
from client.chats import Chat, ChatError, Chats
from client.connection import ServerUnreachable
from client.runs import ASK_LIMIT
from contracts.artifacts import ArtifactRef
from contracts.chat_memory import ChatMemory
from contracts.chats import CHAT_WORKFLOW, AgentHeader, ChatStart, Listed
from contracts.ledgers import LedgerState
from contracts.messages import Message, ToolDefinition
from contracts.tools import OfferedTool, Toolbox, ToolFact, ToolListing
from providers.toolspecs import parameters_schema
from stores.artifacts import ArtifactStore
from stores.jsontext import json_bytes
from stores.messagefiles import by_reference
from stores.transcripts import Transcripts

TURN = 1
"""The only turn of such a conversation."""

DIGEST = "request"
"""Where the workflow's memo keeps what was asked."""


class OtherRequest(ChatError):
    """The id was used before, for another request."""


@dataclass(frozen=True)
class Question:
    """What is asked of whom. `digest` stands for the whole request, to know it again.

    `file_tokens` is what files beside the messages take of a prompt at most.
    """

    header: AgentHeader
    messages: Sequence[Message]
    tools: Sequence[ToolDefinition] = field(default=())
    digest: str = ""
    file_tokens: int = 0


async def ask(chats: Chats, chat_id: str, question: Question) -> Chat:
    """Ask, or join who asked the same under this id before. The answer is turn TURN.

    Raises OtherRequest, ServerUnreachable, the store's errors.
    """
    start = await _start(chats.runs.store, chat_id, question)
    chat = chats.get(chat_id)
    header = question.header
    try:
        await chats.client.start_workflow(
            CHAT_WORKFLOW,
            start,
            id=chat_id,
            task_queue=chats.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"a question to {header.name}",
            memo={AGENT: header.name, PURPOSE: "completion", DIGEST: question.digest},
            rpc_timeout=ASK_LIMIT,
        )
    except WorkflowAlreadyStartedError:
        await _check_same(chat, question.digest)
    except RPCError as error:
        raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
    return chat


async def _check_same(chat: Chat, digest: str) -> None:
    """Raise OtherRequest where the id stands for something else."""
    try:
        memo = await (await chat.handle.describe(rpc_timeout=ASK_LIMIT)).memo()
    except RPCError as error:
        raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
    if memo.get(DIGEST) != digest:
        raise OtherRequest("this id was used before, for another request")


async def _start(store: ArtifactStore, chat_id: str, question: Question) -> ChatStart:
    transcripts = Transcripts(store)
    messages = [await by_reference(message, store) for message in question.messages]
    tokens = sum(len(json_bytes(message)) for message in messages) + question.file_tokens
    transcript = await transcripts.append(None, messages, tokens)
    node = await transcripts.node(transcript)
    carried = ChatMemory(
        transcript=transcript,
        size=node.tokens,
        length=node.length,
        ledger=LedgerState(cap=question.header.budget),
        listed=await _listed(store, question.tools),
        started_at=datetime.now(UTC),
    )
    return ChatStart(
        chat_id=chat_id,
        header=question.header,
        carried=carried.model_dump(mode="json", exclude_defaults=True),
        single=True,
    )


async def _listed(
    store: ArtifactStore, tools: Sequence[ToolDefinition]
) -> tuple[Listed, ...] | None:
    """Return the caller's tools as the workflow knows tools; None: the agent's own are listed."""
    if not tools:
        return None
    offered = tuple(
        OfferedTool(
            name=tool.name,
            description=tool.description,
            parameters=parameters_schema(tool),
            declared=tool.name,
        )
        for tool in tools
    )
    toolbox: ArtifactRef = await store.put_json(Toolbox(tools=offered))
    facts = tuple(
        ToolFact(
            name=tool.name,
            declared=tool.name,
            kind="caller",
            definition_bytes=len(json_bytes(tool)),
        )
        for tool in offered
    )
    return (Listed(listing=ToolListing(facts=facts, toolbox=toolbox)),)

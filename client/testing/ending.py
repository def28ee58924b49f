"""The end of a conversation that a test began: best effort, and never long."""

import asyncio
import contextlib

from client.chats import Chat, ChatError
from client.connection import ServerUnreachable
from client.runs import NoWorker

PATIENCE_S = 10.0


async def end(chat: Chat) -> None:
    """End a conversation, also while the test is being cancelled; without a worker it stays."""
    with contextlib.suppress(ChatError, NoWorker, ServerUnreachable, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(chat.end("tested"))

"""Coming back to a conversation, with its agent as the file and the command line have it now.

What has changed since, `--model` and `--provider` among it, holds from the next message on, as it
does in a session that is served. A conversation never passes to an agent of another name.
"""

from client.chats import Chat
from client.cli.console import Refusal
from contracts.chats import AgentHeader


async def rejoin(chat: Chat, agent: AgentHeader) -> str:
    """Let the agent as it is now answer from the next message on; return what a person is told.

    Waits until the conversation has begun. Returns "" where nothing has changed. Raises Refusal
    where the conversation is with another agent.
    """
    view = await chat.active()
    if view.agent != agent.name:
        raise Refusal(
            f"conversation {chat.chat_id} is with {view.agent}, not {agent.name}: give that "
            "agent's file, or leave --session out to begin another"
        )
    if view.plan == agent.plan:
        return ""
    await chat.use_agent(agent)
    now = (await chat.view()).model
    return f"{agent.name} has changed since it was last talked to: {now} answers from now on"

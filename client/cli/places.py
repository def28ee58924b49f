"""Where conversations of a command are held: the server that is there, else the embedded one."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from client.agent_plans import PlannedAgent, plan_agent
from client.chat.hosting import planner
from client.chats import Chats
from client.cli.console import say
from client.cli.preparing import SIMULATED, simulation
from client.cli.session import Session
from client.connection import connect
from client.embedded import Embedded
from client.runs import Runs
from config.agentfile import LoadedAgent


def planned_agent(
    session: Session, loaded: LoadedAgent, provider: str | None, behaviour: Path | None
) -> PlannedAgent:
    """Resolve who answers for an agent. `behaviour` is the simulator's file.

    Raises PlanError, RouterError, Refusal.
    """
    options = simulation(behaviour)
    return plan_agent(loaded, planner(session.settings, provider, simulation=options))


@contextlib.asynccontextmanager
async def conversations(session: Session, provider: str | None = None) -> AsyncIterator[Chats]:
    """Give the conversations of the server that is there, or of the embedded one, until the end.

    Raises ServerUnreachable, DevServerError, EmbeddedFailed.
    """
    if session.address is not None:
        yield await _chats(session, session.address)
        return
    embedded = Embedded(
        session.storage.data,
        say,
        grace_s=session.settings.graceful_shutdown,
        providers=(SIMULATED,) if provider == SIMULATED else (),
    )
    async with embedded:
        yield await _chats(session, embedded.place.address)


async def _chats(session: Session, address: str) -> Chats:
    client = await connect(address)
    return Chats(Runs(client, session.storage.store, session.storage.spools))

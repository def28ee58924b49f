"""Where conversations of a command are held: the server that is there, else the embedded one."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from client.agent_plans import PlannedAgent, plan_agent
from client.chat.hosting import planner
from client.chats import Chats
from client.cli.console import say
from client.cli.polling import served_providers
from client.cli.preparing import SIMULATED, check_provider, simulation
from client.cli.session import Session
from client.connection import connect
from client.embedded import Embedded
from client.enclosing import takes, taking
from client.planning import Planner
from client.runs import Runs
from config.agentfile import LoadedAgent
from contracts.plans import Candidate

WORKER_S = 30.0
"""For the worker of an embedded server that another process has just started."""


def given_model(model: str | None) -> dict[str, str]:
    """Return what MODEL or PROVIDER/MODEL of the command line says of an agent."""
    if not model:
        return {}
    provider, slash, name = model.partition("/")
    return {"model.provider": provider, "model.name": name} if slash else {"model.name": model}


@dataclass(frozen=True)
class Planning:
    """Resolves who answers for agents. `behaviour` is the simulator's file.

    `served` names the providers that workers of a server poll for; None: the worker is ours.
    """

    session: Session
    provider: str | None = None
    behaviour: Path | None = None
    served: Collection[str] | None = None

    @classmethod
    async def of(cls, session: Session, provider: str | None, behaviour: Path | None) -> Self:
        """Ask the server who is there, where there is one.

        Raises Refusal: no worker, no such provider; ServerUnreachable.
        """
        served = None
        if session.address is not None:
            client = await connect(session.address)
            served = await served_providers(client, wait_s=WORKER_S if session.place else 0)
        if provider is not None:
            check_provider(provider, served)
        return cls(session, provider, behaviour, served)

    def __call__(self, loaded: LoadedAgent) -> PlannedAgent:
        """Return the agent, planned. Raises PlanError, RouterError, Refusal."""
        return plan_agent(loaded, self._planner())

    def taking(self, planned: PlannedAgent, kinds: Sequence[str], named: str = "") -> PlannedAgent:
        """Return the agent with those candidates that take files of all these kinds.

        Raises PlanError naming who would, where nobody does; `named` are the files.
        """
        return taking(planned, self._planner().router.capabilities, kinds, named)

    def takes(self, candidates: Iterable[Candidate], kinds: Sequence[str]) -> bool:
        """Whether all candidates take files of all these kinds."""
        table = self._planner().router.capabilities
        return all(takes(table, one, kinds) for one in candidates)

    def _planner(self) -> Planner:
        options = simulation(self.behaviour)
        return planner(self.session.settings, self.provider, simulation=options, served=self.served)


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

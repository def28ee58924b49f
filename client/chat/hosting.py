"""Where a face's conversations are held.

A caller's own client object is served by this process, as the engine's is. By a registered
provider's name, the workers of the configured server are used, or of the embedded one that
another process of this home keeps; where there is neither, the embedded one is started for as
long as the face lives, on the home's own file, so that a conversation can be come back to.
"""

import contextlib
import sys
from typing import TYPE_CHECKING, Protocol

from client.agent_plans import PlannedAgent, plan_agent, plan_own
from client.chats import Chats
from client.connection import configured_address, connect
from client.embedded import Embedded, running_place
from client.engine.costs import CostConfig, CostTracker
from client.engine.limiting import RateLimitConfig, RateLimiter
from client.engine.place import Serving
from client.engine.serving import Host
from client.engine.translating import Asked
from client.planning import SIMULATED, Planner
from client.runs import Runs
from client.storage import Storage, open_storage
from config.agentfile import LoadedAgent
from contracts.queues import provider_queue
from contracts.retry import RetryRule
from providers.router import PersonaRouter
from providers.spi import LLMClient

if TYPE_CHECKING:
    from config.settings import Settings

OPEN_CALLS = 100
"""Calls of a caller's own client at once."""


class Hosting(Protocol):
    """Plans an agent, and opens the place where its conversations are held."""

    def plan(self, loaded: LoadedAgent) -> PlannedAgent:
        """Resolve who answers. Raises PlanError, RouterError, ConfigError. Asks no network."""
        ...

    async def open(self) -> Chats:
        """Return the conversations; the first call starts what they need."""
        ...

    async def close(self) -> None:
        """Let go of everything. Safe to repeat."""
        ...


class OwnHosting:
    """A caller's own client, served by this process alone.

    The queue has the session's name: who comes back to it, with a client of his own, takes up
    what another process left there, as long as the server is the same.
    """

    def __init__(self, client: LLMClient, session_id: str, serving: Serving | None = None) -> None:
        self._client = client
        self._name = f"inproc-{session_id}"
        self._limiter = RateLimiter(RateLimitConfig.unlimited())
        self._serving = serving
        self._host: Host | None = None

    def plan(self, loaded: LoadedAgent) -> PlannedAgent:
        """Return the agent with the client as its one candidate."""
        client = self._client
        asked = Asked(
            provider=client.provider,
            model=getattr(client, "model", None),
            queue=provider_queue(self._name),
            price=CostTracker(CostConfig()).price,
        )
        return plan_own(loaded, asked.candidate, RetryRule())

    async def open(self) -> Chats:
        """Start the worker with the first call, and a server where none is configured."""
        if self._host is None:
            self._host = Host(self._name, self._client, self._limiter, OPEN_CALLS, self._serving)
        return Chats(await self._host.runs(), self._name)

    async def close(self) -> None:
        """Stop the worker, which finishes what is in flight."""
        if self._host is not None:
            await self._host.stop()


class SharedHosting:
    """The workers of a server, which need not be this process's."""

    def __init__(self, provider: str | None = None, settings: "Settings | None" = None) -> None:
        from config.settings import load_settings

        self._provider = provider
        self._settings = settings or load_settings()
        self._stack = contextlib.AsyncExitStack()
        self._chats: Chats | None = None

    def plan(self, loaded: LoadedAgent) -> PlannedAgent:
        """Resolve the agent's persona or model among the providers that can be used."""
        return plan_agent(loaded, planner(self._settings, self._provider))

    async def open(self) -> Chats:
        """Connect; start the embedded server where there is none."""
        if self._chats is None:
            storage = open_storage(self._settings)
            address = await self._address(storage)
            client = await connect(address)
            self._chats = Chats(Runs(client, storage.store, storage.spools))
        return self._chats

    async def close(self) -> None:
        """Stop what was started here."""
        self._chats = None
        await self._stack.aclose()

    async def _address(self, storage: Storage) -> str:
        if (configured := configured_address()) is not None:
            return configured
        if (place := running_place(storage.data)) is not None:
            return place.address
        embedded = Embedded(
            storage.data,
            _report,
            grace_s=self._settings.graceful_shutdown,
            providers=(SIMULATED,) if self._provider == SIMULATED else (),
        )
        await self._stack.enter_async_context(embedded)
        return embedded.place.address


def planner(settings: "Settings", provider: str | None, **more: object) -> Planner:
    """Return what resolves personas as the settings say. Raises RouterError, ConfigError."""
    router = PersonaRouter(
        settings.persona_policy, settings.capabilities, prices=settings.price_overrides()
    )
    return Planner(router, provider=provider, **more)  # type: ignore[arg-type]


def _report(text: str) -> None:
    print(text, file=sys.stderr)

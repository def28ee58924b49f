"""The server as its callers meet it: a real socket, a dev server behind it, a scripted provider."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
from openai import AsyncOpenAI

from client.agent_plans import PlannedAgent, plan_own
from client.chats import Chats
from client.planning import Planner
from config.agentfile import LoadedAgent
from contracts.agents import AgentSpec
from contracts.plans import Candidate
from providers.router import PersonaRouter
from serving.accounts import BEGUN_S, Accounts
from serving.app import build_app
from serving.callers import KeyRing, Limits
from serving.catalogue import Catalogue, Served
from serving.gateway import Gateway
from serving.server import listen, served
from serving.sessions import Sessions
from serving.windows import Accounting, Windows
from tests.support.harness import Harness, harness
from tests.support.scripted import Script
from tests.support.talks import agent
from tests.support.teams import AT_ONCE, candidate

LIMITS = Limits()


class ScriptedCatalogue(Catalogue):
    """Everything that is served is answered by the script."""

    def plan(self, loaded: LoadedAgent) -> PlannedAgent:
        return plan_own(loaded, lambda _: candidate(), AT_ONCE)

    def level(self, candidate: Candidate, capability: str) -> str | None:
        return "native"

    def takes(self, candidate: Candidate, kinds: Sequence[str]) -> bool:
        return True


@dataclass
class Stage:
    """A running server."""

    url: str
    h: Harness
    gateway: Gateway
    sessions: Sessions
    http: httpx2.AsyncClient
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def script(self) -> Script:
        return self.h.script

    def openai(self, key: str = "none", **more: Any) -> AsyncOpenAI:
        """Return OpenAI's own client."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **more)

    async def begin(self, name: str = "tested", **more: Any) -> str:
        """Begin a session; return its address."""
        answer = await self.http.post("/sessions", json={"agent": name, **more})
        assert answer.status_code == 201, answer.text
        return f"/sessions/{answer.json()['id']}"

    async def settled_after(self, requests: int) -> None:
        """Wait until the provider has answered so many requests, and all are settled."""
        for _ in range(500):
            if self.script.count() >= requests and not self.script.in_flight:
                break
            await asyncio.sleep(0.02)
        await self.settled()

    async def settled(self) -> None:
        """Wait until all requests are settled."""
        for _ in range(500):
            if not await self.gateway.accounts._windows.still_open():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("requests stay open")


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    data: Any
    id: str | None


async def events(answer: httpx2.Response) -> AsyncIterator[Event]:
    """Read a stream of events; comments are left out."""
    found: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line:
            if "data" in found:
                data = found["data"]
                parsed = data if data == "[DONE]" else orjson.loads(data)
                yield Event(found.get("event", "message"), parsed, found.get("id"))
            found = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            found[name] = value


def served_agent(name: str = "tested", **more: Any) -> Served:
    """Return an agent that is served under its name."""
    return Served(name, "agent", LoadedAgent(agent(name=name, **more), Path(), {}))


def of(spec: AgentSpec) -> Served:
    return Served(spec.name, "agent", LoadedAgent(spec, Path(), {}))


async def _ready() -> str | None:
    return None


@contextlib.asynccontextmanager
async def serving(
    h: Harness,
    agents: Sequence[Served] = (),
    keys: KeyRing | None = None,
    database: Path | str = ":memory:",
    windows: Accounting | None = None,
    begun_s: float = BEGUN_S,
    origins: Sequence[str] = (),
    catalogue: Catalogue | None = None,
    **more: Any,
) -> AsyncIterator[Stage]:
    """Serve on a harness that runs already."""
    keys = keys or KeyRing()
    chats = Chats(h.runs)
    planner = Planner(PersonaRouter(env={}), provider="simulated")
    catalogue = catalogue or ScriptedCatalogue(agents or [served_agent()], planner)
    accounts = Accounts(
        windows or Windows(database), chats, lambda name: keys.models.get(name, LIMITS), begun_s
    )
    sessions = Sessions(chats, catalogue, accounts, **more)
    gateway = Gateway(chats, catalogue, keys, accounts, _ready)
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    keeper = asyncio.create_task(sessions.keep())
    try:
        await accounts.take_up()
        async with (
            served(build_app(gateway, sessions, origins), sock, 1),
            httpx2.AsyncClient(base_url=url, timeout=30) as http,
        ):
            yield Stage(url, h, gateway, sessions, http)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await accounts.aclose()


@contextlib.asynccontextmanager
async def stage(
    address: str,
    folder: Path,
    script: Script | None = None,
    *agents: Served,
    tools: bool = False,
    **more: Any,
) -> AsyncIterator[Stage]:
    """Serve on a harness of its own."""
    opened = harness(address, folder, script or Script(), tools=tools, cached_workflows=20)
    async with opened as h, serving(h, agents, **more) as running:
        yield running


def once() -> dict[str, str]:
    """Return the header of a request that is made once: the server outlives the test."""
    return {"Idempotency-Key": uuid.uuid4().hex}

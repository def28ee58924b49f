"""`serve`: agents and personas over HTTP, until Ctrl-C; what was begun goes on the next time.

Everything that can be wrong is found before anything listens: agents are loaded and planned, keys
are read, the port is taken. Without keys only this machine may ask. Where no server is configured
the embedded one is started, as for every other command.
"""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.chat.hosting import planner
from client.chats import Chats
from client.cli.console import DONE, INTERRUPTED, Refusal, say
from client.cli.console import run_async as run
from client.cli.polling import served_providers
from client.cli.preparing import SIMULATED, check_provider, simulation
from client.cli.session import Session, open_session
from client.cli.spelling import plural
from client.connection import connect
from client.embedded import Embedded
from client.runs import Runs
from config.agentfile import LoadedAgent, load_agent
from config.problems import ConfigError, Problem
from serving.accounts import Accounts
from serving.app import build_app
from serving.callers import KEY_PREFIX, OWNER, VARIABLE, KeyRing, Limits, load_keys, new_key
from serving.catalogue import Catalogue, Served, check, of_agent, of_persona
from serving.gateway import MOST_BODY_BYTES, THIS_MACHINE, Gateway
from serving.server import CannotListen, listen, served
from serving.sessions import MOST_SESSIONS, TTL_S, Sessions
from serving.windows import Accounting, Windows

DATABASE = "serving.db"
PORT = 8080
WORKER_S = 60.0
READY_FOR_S = 2.0
"""How long an answer to "are you ready" is good for."""


@dataclass(frozen=True)
class ServeWanted:
    """What was asked for on the command line."""

    agents: Sequence[Path] = ()
    personas: bool = False
    host: str = "127.0.0.1"
    port: int = PORT
    provider: str | None = None
    simulation: Path | None = None
    origins: Sequence[str] = ()
    session_ttl: float = TTL_S
    max_sessions: int = MOST_SESSIONS
    max_body: int = MOST_BODY_BYTES
    grace: float = field(default=10.0)


def serve(wanted: ServeWanted) -> int:
    """Serve; return the exit code."""
    session = open_session()
    if wanted.provider is not None and session.address is None:
        check_provider(wanted.provider)
    keys = load_keys(session.settings.serve_keys)
    _check_host(wanted.host, keys)
    candidates = [of_agent(loaded, _written(loaded.source)) for loaded in _agents(wanted.agents)]
    _check_names(candidates)
    try:
        sock = listen(wanted.host, wanted.port)
    except CannotListen as error:
        raise Refusal(f"{error}; --port names another one") from None
    with sock:
        return run(lambda: _Serving(session, wanted, keys, candidates, sock).run())


def _agents(files: Sequence[Path]) -> list[LoadedAgent]:
    """Load all agents. Raises ConfigError with what is wrong with any of them."""
    loaded, problems = [], list[Problem]()
    for path in files:
        try:
            loaded.append(load_agent(path))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return loaded


def make_key(name: str) -> int:
    """Print a fresh key, and what stands for it in a file of keys."""
    import re

    if re.fullmatch(OWNER, name) is None:
        raise Refusal(f"--new-key {name}: letters, digits and _, 40 at most")
    key, digest = new_key()
    print(key)
    say("Give this key to its owner; it is shown once. In the file of keys:")
    say(f"keys:\n  - name: {name}\n    sha256: {digest}")
    say(f"Then: {VARIABLE}=FILE python starter.py serve …")
    return DONE


class _Serving:
    """One run of the command."""

    def __init__(
        self,
        session: Session,
        wanted: ServeWanted,
        keys: KeyRing,
        agents: list[Served],
        sock: Any,
    ) -> None:
        self._session, self._wanted, self._keys = session, wanted, keys
        self._agents, self._sock = agents, sock
        self._embedded: Embedded | None = None
        self._ready_until, self._missing = 0.0, ""

    async def run(self) -> int:
        """Serve until the end of the server, or Ctrl-C."""
        async with self._chats() as chats:
            say("waiting for a worker")
            providers = await served_providers(chats.client, wait_s=WORKER_S)
            catalogue = self._catalogue(providers)
            await self._serve(chats, catalogue)
        return INTERRUPTED

    @contextlib.asynccontextmanager
    async def _chats(self) -> AsyncIterator[Chats]:
        """Give the conversations of the server that is there, or of the embedded one."""
        session = self._session
        if session.address is not None:
            yield await self._connected(session.address)
            return
        self._embedded = Embedded(
            session.storage.data,
            say,
            grace_s=session.settings.graceful_shutdown,
            providers=(SIMULATED,) if self._wanted.provider == SIMULATED else (),
        )
        async with self._embedded as embedded:
            yield await self._connected(embedded.place.address)

    async def _connected(self, address: str) -> Chats:
        storage = self._session.storage
        return Chats(Runs(await connect(address), storage.store, storage.spools))

    def _catalogue(self, providers: set[str]) -> Catalogue:
        """Return what can be served now. Raises Refusal where that is nothing."""
        wanted, settings = self._wanted, self._session.settings
        resolver = planner(
            settings,
            wanted.provider,
            simulation=simulation(wanted.simulation),
            served=providers if self._session.configured else None,
        )
        found = list(self._agents)
        if wanted.personas or not found:
            taken = {one.name for one in found}
            started = int(time.time())
            found += [
                of_persona(name, started, one.description or "")
                for name, one in resolver.router.policy.personas.items()
                if name not in taken
            ]
        able, notes = check(Catalogue(found, resolver))
        for note in notes:
            say(f"note: {note}")
        if not able:
            raise Refusal("nothing can be served: see above; --provider simulated always can")
        return Catalogue(able, resolver)

    def _windows(self) -> Accounting:
        """Return what counts: in Redis, where workers' limits are, else beside the logs."""
        if (url := self._session.settings.redis_url) is None:
            return Windows(self._session.storage.data.logs.with_name(DATABASE))
        from serving.redis_windows import RedisWindows

        return RedisWindows(url)

    async def _serve(self, chats: Chats, catalogue: Catalogue) -> None:
        wanted = self._wanted
        windows = self._windows()
        accounts = Accounts(windows, chats, lambda name: self._keys.models.get(name, Limits()))
        sessions = Sessions(
            chats, catalogue, accounts, ttl_s=wanted.session_ttl, most=wanted.max_sessions
        )
        gateway = Gateway(
            chats=chats,
            catalogue=catalogue,
            keys=self._keys,
            accounts=accounts,
            ready=self._readiness(chats),
            most_body=wanted.max_body,
            hosts=THIS_MACHINE | {wanted.host.lower(), f"[{wanted.host.lower()}]"},
        )
        app = build_app(gateway, sessions, wanted.origins)
        keeper = asyncio.create_task(sessions.keep())
        try:
            if left := await accounts.take_up():
                say(f"{plural(left, 'request')} of before: what they cost is asked for")
            async with served(app, self._sock, wanted.grace) as serving:
                self._tell(catalogue)
                await self._until_ended(serving)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await accounts.aclose()

    async def _until_ended(self, serving: "asyncio.Task[None]") -> None:
        """Wait for the HTTP server's end, or the embedded server's. Raises EmbeddedFailed."""
        failed = self._embedded.failed if self._embedded else None
        watched: set[asyncio.Future[Any]] = {serving} if failed is None else {serving, failed}
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            say("stopping: answers go on and can be come back for; Ctrl-C again ends at once")
            raise
        for one in done:
            one.result()

    def _readiness(self, chats: Chats) -> Callable[[], Awaitable[str | None]]:
        async def missing() -> str | None:
            now = time.monotonic()
            if now >= self._ready_until:
                self._missing = await _missing(chats)
                self._ready_until = now + READY_FOR_S
            return self._missing or None

        return missing

    def _tell(self, catalogue: Catalogue) -> None:
        host, port = self._sock.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{port}"
        names = [one.name for one in catalogue.all]
        say(f"Callboard serves {', '.join(names)}")
        say(f"  {url}/v1   for OpenAI's clients, {url}/sessions for conversations\n")
        key = "" if self._keys.open else f" -H 'Authorization: Bearer {KEY_PREFIX}…'"
        body = f'{{"model": "{names[0]}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
        sent = f"{key} -H 'Content-Type: application/json' -d '{body}'"
        say(f"  curl {url}/v1/chat/completions{sent}\n")
        if self._keys.open:
            said = "No keys are set: anybody on this machine may ask."
            say(f"{said} `serve --new-key NAME` makes one.")
        else:
            say(f"{plural(len(self._keys.keys), 'key')} may ask ({VARIABLE}).")
        say("Ctrl-C stops it; answers under way go on the next time")


async def _missing(chats: Chats) -> str:
    """Return why no answer could be given now; "" where one could."""
    try:
        async with asyncio.timeout(5):
            await served_providers(chats.client)
    except Refusal:
        return "no worker is connected"
    except Exception as error:
        return f"the Temporal server is away ({type(error).__name__})"
    return ""


def _check_host(host: str, keys: KeyRing) -> None:
    if keys.open and not _is_loopback(host):
        raise Refusal(
            f"--host {host}: without keys only this machine may ask. Make one with "
            f"`python starter.py serve --new-key NAME` and name it in {VARIABLE}"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_names(served: list[Served]) -> None:
    names = [one.name for one in served]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Refusal(f"two agents have the name {twice!r}")


def _written(path: Path) -> int:
    return int(path.stat().st_mtime)

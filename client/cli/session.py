"""What a command works with: the settings, the stores, the server that is there.

A server is the configured one, else the embedded one that another process of this home keeps,
else none. What has ended is read without any. Temporal's client, most of a command's time to
start, is imported by what needs it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from client.absence import NoServer, UnknownRun
from client.addresses import configured_address
from client.cli.console import Refusal, say
from client.storage import Storage, open_storage
from config.problems import did_you_mean
from config.settings import Settings, load_settings
from contracts.runs import RunStatus
from stores.exceptions import ArtifactLost

if TYPE_CHECKING:
    from client.embedded import Place
    from client.runs import Run, Runs

LAST = "last"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
OR_WITHIN = re.compile(rf"{RUN_ID.pattern}(/{RUN_ID.pattern})*")
"""A run's id, or that of a team within one: RUN/STEP, as the Temporal UI has it."""

MOST_SHOWN = 8
CHILDREN_BETWEEN = 10
"""Runs asked of the server for each to be shown: teams within a team are runs there too."""


@dataclass
class Session:
    """One command's surroundings."""

    settings: Settings
    storage: Storage

    @cached_property
    def configured(self) -> str | None:
        """The address of the user's own server, if one is named."""
        return configured_address()

    @cached_property
    def place(self) -> "Place | None":
        """The embedded server that another process keeps, where none is configured."""
        from client.embedded import running_place

        return None if self.configured else running_place(self.storage.data)

    @property
    def address(self) -> str | None:
        """Where the server is, or None."""
        return self.configured or (self.place.address if self.place else None)

    async def runs(self) -> "Runs":
        """Return the runs of the server, or of the store alone. Raises ServerUnreachable."""
        from client.connection import connect
        from client.runs import Runs

        client = await connect(self.address) if self.address else None
        return Runs(client, self.storage.store, self.storage.spools)

    async def server_runs(self) -> "Runs":
        """Return the runs of a server. Raises ServerUnreachable, also where there is none."""
        if self.address is None:
            raise NoServer
        return await self.runs()

    async def find(self, name: str) -> "Run":
        """Return the run of an id, of a unique beginning of one, or the last. Raises Refusal.

        A team within a run has the id RUN/STEP, where RUN is spelled in any of these ways.
        """
        from client.runs import Runs

        if OR_WITHIN.fullmatch(name) is None:
            raise Refusal(f"{name!r} is no run's id; `starter.py list` shows them")
        alone = Runs(None, self.storage.store, self.storage.spools)
        if name != LAST and await alone.get(name).record() is not None:
            return alone.get(name)
        runs = await self.runs()
        outer, slash, steps = name.partition("/")
        found = await (self._last(runs) if outer == LAST else self._only(runs, outer))
        return runs.get(await self._only(runs, f"{found}/{steps}") if slash else found)

    async def find_on_server(self, name: str) -> "Run":
        """Return a run of the server. Raises Refusal, ServerUnreachable."""
        run = await self.find(name)
        return (await self.server_runs()).get(run.run_id)

    async def _last(self, runs: "Runs") -> str:
        known = await recent(runs, 1)
        if not known:
            raise Refusal("there are no runs yet")
        return known[0].run_id

    async def beginning(self, runs: "Runs", beginning: str) -> set[str]:
        """Return the ids of runs that begin so; of very many, some.

        Teams within a team are runs as well: they are looked at through the run around them.
        """
        names = await runs.store.names(f"runs/{beginning}")
        found = {name.removeprefix("runs/") for name in names}
        if runs.connected:
            where = f"WorkflowId STARTS_WITH '{beginning}'"
            found |= {status.run_id for status in await runs.latest(MOST_SHOWN + 1, where)}
        return {name for name in found if not any(outer in found for outer in _around(name))}

    async def _only(self, runs: "Runs", beginning: str) -> str:
        """Return the only run that begins so."""
        found = await self.beginning(runs, beginning)
        if beginning in found or len(found) == 1:
            return beginning if beginning in found else found.pop()
        if found:
            raise Refusal(several(beginning, found))
        hint = did_you_mean(beginning, await _known(runs)) or " `starter.py list` shows them."
        server = "" if runs.connected else " (no server is running: only ended runs were looked at)"
        raise UnknownRun(f"no run or conversation {beginning}{server}.{hint}")


def _around(run_id: str) -> list[str]:
    """Return the ids of the runs that a run is within: "a" and "a/b" for "a/b/c"."""
    parts = run_id.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def several(beginning: str, found: Iterable[str]) -> str:
    """Return what is said where a name is the beginning of more than one."""
    names = sorted(found)
    more = [f"and {len(names) - MOST_SHOWN} more"] if len(names) > MOST_SHOWN else []
    return "\n  ".join([f"{beginning} is the beginning of several:", *names[:MOST_SHOWN], *more])


async def _known(runs: "Runs") -> list[str]:
    """Return the ids that may have been meant."""
    ids = [status.run_id for status in await recent(runs, 20)]
    if runs.connected:
        from client.chat_starting import lines

        ids += [line.chat_id async for line in lines(runs.client, "", 20)]
    return ids


def open_session() -> Session:
    """Read the settings and open the stores. Raises ConfigError, StoreError."""
    settings = load_settings()
    return Session(settings, open_storage(settings))


async def recent(runs: "Runs", limit: int) -> list[RunStatus]:
    """Return the latest runs of server and store, newest first, without their steps.

    Those that another run started are left out: they are looked at through that one.
    """
    from client.recorded import outlined

    known: dict[str, RunStatus] = {}
    if runs.connected:
        latest = await runs.latest(limit * CHILDREN_BETWEEN)
        known = {status.run_id: status for status in latest if "/" not in status.run_id}
    for name in await runs.store.names("runs/"):
        run_id = name.removeprefix("runs/")
        if "/" in run_id:
            continue
        try:
            record = await runs.get(run_id).record()
        except ArtifactLost as error:
            say(f"left out: {error}")
            continue
        if record is not None:
            known[run_id] = outlined(record)
    newest = sorted(known.values(), key=lambda status: str(status.started_at or ""), reverse=True)
    return newest[:limit]

"""`gc`: deletes what no run in retention needs, and says how much that was.

The runs that go on are the server's to tell, so nothing is deleted without one: the configured
one, the one of `starter.py dev`, or the embedded one on this home's file, started for as long as
it is asked. Nobody works on runs meanwhile that did not before.
"""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from client.cli.console import DONE, FAILED, Refusal, clean, run_async, say, stdout
from client.cli.session import Session, open_session
from client.cli.spelling import plural, size
from client.connection import ServerUnreachable, connect
from client.retention import Held, Leftovers, find_leftovers, held_by, remove
from client.tenants import PREFIX as SERVERS
from client.tenants import Seen, namespace_id, tenants
from stores.backend import Entry
from stores.collecting import GRACE
from stores.keys import digest_of, noted_name
from stores.spooling import KeptSpool

KINDS = {
    "artifacts": "artifact",
    "records": "run record",
    "names": "other name",
    "spools": "spool",
    "unfinished": "unfinished write",
}
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass
class Tally:
    """How many things of each kind, and their bytes."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    sizes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def add(self, thing: Entry | KeptSpool) -> None:
        """Count one."""
        kind = _kind(thing)
        self.counts[kind] += 1
        self.sizes[kind] += thing.size_bytes

    def told(self) -> str:
        """Return all kinds that there are, with their sizes."""
        parts = [
            f"{plural(count, KINDS[kind])} ({size(self.sizes[kind])})"
            for kind, count in self.counts.items()
            if count
        ]
        return ", ".join(parts) or "nothing"

    def data(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {k: {"count": n, "bytes": self.sizes[k]} for k, n in self.counts.items()}


def tally(things: Iterable[Entry | KeptSpool]) -> Tally:
    """Count things."""
    counted = Tally()
    for thing in things:
        counted.add(thing)
    return counted


@dataclass(frozen=True)
class Asked:
    """The command line's wishes."""

    older_than: str
    dry_run: bool
    forget: str | None
    as_json: bool


def collect(asked: Asked) -> int:
    """Find what is not needed, delete it, report; return the exit code."""
    since = datetime.now(UTC) - age(asked.older_than)
    session = open_session()
    return run_async(lambda: _collect(session, asked, since))


async def _collect(session: Session, asked: Asked, since: datetime) -> int:
    storage = session.storage
    async with _server(session) as client:
        own = await namespace_id(client) if client else None
        seen = await _others(session, own, asked)
        held = await held_by(client, since) if client else Held()
        leftovers = await find_leftovers(storage, held, since, seen)
        deleted, stay = Tally(), []
        if asked.dry_run:
            deleted = tally(_all(leftovers))
        else:
            try:
                stay = await remove(storage, leftovers, deleted.add)
            except BaseException:
                say(f"stopped; deleted so far: {deleted.told()}. It can be run again at any time.")
                raise
    if asked.as_json:
        print(json.dumps(_data(asked, held, leftovers, deleted, stay), indent=2))
    else:
        _tell(asked, held, leftovers, deleted)
    for why in stay:
        say(f"not deleted: {why}")
    return FAILED if stay else DONE


@contextlib.asynccontextmanager
async def _server(session: Session) -> AsyncIterator[Client | None]:
    """Give the server that knows of the runs; None where there never was one.

    Raises ServerUnreachable, client.devserver's errors.
    """
    database = session.storage.data.server_db
    try:
        if session.address is not None:
            yield await connect(session.address)
        elif not database.exists():
            yield None
        else:
            from client.devserver import DevServer, find_server

            log = session.storage.data.logs / "server.log"
            async with DevServer(find_server(say), database, log_file=log) as server:
                yield await connect(server.address)
    except RPCError as error:
        raise ServerUnreachable(
            f"the Temporal server did not tell which runs go on ({error.message}): nothing was "
            "deleted"
        ) from None


async def _others(session: Session, own: str | None, asked: Asked) -> list[Seen]:
    """Return the store's tenants. Raises Refusal where another one may have runs that go on."""
    store = session.storage.store
    seen = await tenants(store)
    ids = [one.tenant.id for one in seen]
    if asked.forget is not None and asked.forget not in ids:
        known = ", ".join(ids) or "none"
        raise Refusal(f"--forget-server {asked.forget}: the store knows no such server ({known})")
    if asked.forget is not None and asked.forget == own:
        raise Refusal(f"--forget-server {asked.forget}: that is the server that was just asked")
    others = [one for one in seen if one.counts and one.tenant.id not in (own, asked.forget)]
    if others:
        listed = "".join(
            f"\n  {one.tenant.id}: namespace {one.tenant.namespace} at {one.tenant.address}, "
            f"a worker was last there {one.at:%Y-%m-%d %H:%M} UTC"
            for one in others
        )
        raise Refusal(
            f"{store.name} is used by other Temporal servers too, whose open runs cannot be seen "
            f"from here:{listed}\nWhere one of them is gone for good, say so: --forget-server ID. "
            "Nothing was deleted."
        )
    if asked.forget is not None and not asked.dry_run:
        await store.forget(SERVERS + asked.forget)
    return seen


def _tell(asked: Asked, held: Held, leftovers: Leftovers, deleted: Tally) -> None:
    garbage = leftovers.garbage
    out = stdout()
    out.print(f"{'would delete' if asked.dry_run else 'deleted'} {deleted.told()}", soft_wrap=True)
    out.print(
        f"kept {tally(garbage.kept).told()}: {plural(len(held.going_on), 'run')} going on, "
        f"{len(held.ended)} on the server that ended within {asked.older_than}",
        soft_wrap=True,
    )
    if garbage.young:
        hours = GRACE // timedelta(hours=1)
        some = tally(garbage.young).told()
        say(f"of these, nothing refers to {some}: younger than {hours} hours, so not touched yet")
    if garbage.damaged:
        listed = "".join(f"\n  {clean(key)}" for key in garbage.damaged[:10])
        say(f"{plural(len(garbage.damaged), 'damaged object')} could not be read:{listed}")


def _data(
    asked: Asked, held: Held, leftovers: Leftovers, deleted: Tally, stay: list[str]
) -> dict[str, Any]:
    garbage = leftovers.garbage
    return {
        "dry_run": asked.dry_run,
        "older_than": asked.older_than,
        "deleted": deleted.data(),
        "kept": tally(garbage.kept).data(),
        "young": tally(garbage.young).data(),
        "runs_going_on": len(held.going_on),
        "runs_ended": len(held.ended),
        "damaged": list(garbage.damaged),
        "not_deleted": stay,
    }


def _all(leftovers: Leftovers) -> list[Entry | KeptSpool]:
    garbage = leftovers.garbage
    return [*garbage.names, *garbage.artifacts, *garbage.unfinished, *leftovers.spools]


def _kind(thing: Entry | KeptSpool) -> str:
    if isinstance(thing, KeptSpool):
        return "spools"
    if digest_of(thing.key):
        return "artifacts"
    if not thing.key.endswith(".ref"):
        return "unfinished"
    return "records" if (noted_name(thing.key) or thing.key).startswith("runs/") else "names"


def age(text: str) -> timedelta:
    """Return a time such as 30d, 12h or 2w. Raises Refusal."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if match is None:
        raise Refusal(f"--older-than {text}: must be a number and m, h, d or w, such as 30d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])

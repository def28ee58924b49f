"""Records histories of runs that share files and a cached context, for the replay tests.

    python -m tests.support.record_sharing VERSION [NAME …]

As `record_histories` does, and never over a file that exists.
"""

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from client.devserver import find_server
from client.runs import Run
from contracts.files import LARGE_BYTES, AttachedFile
from contracts.plans import Plan
from contracts.prices import Rate
from contracts.teams import SharedContext
from providers.exceptions import InvalidRequest
from tests.support import sharing_agents
from tests.support.harness import Harness, harness
from tests.support.keeping import KeepingClient, KeepingClients, Kept, RepeatingClient
from tests.support.record_histories import HISTORIES
from tests.support.scripted import Say, Script
from tests.support.server import local_server
from tests.support.teams import GPT4, agent, candidate, plan, team

Scene = Callable[[Harness], Awaitable[Run]]


async def stored(h: Harness, name: str, data: bytes) -> AttachedFile:
    """Return a file that lies in the store, so that no path of a machine is in a history."""
    ref = await h.store.put_bytes(data, "application/pdf")
    return AttachedFile(
        path=f"artifact:{ref.sha256}",
        name=name,
        mime_type="application/pdf",
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        content=ref,
    )


def shared(files: tuple[AttachedFile, ...], caching: str, **more: object) -> Plan:
    """Return a plan of two agents with a shared context and a third without."""
    price = GPT4.model_copy(update={"cache_storage": Rate(base=Decimal(36))})
    one = candidate(caching=caching).model_copy(update={"price": price})
    steps = [
        agent("a", shared_context=True),
        agent("b", shared_context=True),
        agent("c", "{a} {b}", dependencies=("a", "b")),
    ]
    return plan(
        team(*steps, shared_context=SharedContext(files=files, **more), cost_budget=Decimal(100)),
        one,
        file_tokens={"a": 5_000, "b": 5_000},
        shared_tokens=(5_000,),
    )


async def _done(h: Harness, made: Plan) -> Run:
    run = await h.start(made)
    await run.wait()
    return run


async def shared_named(h: Harness) -> Run:
    """A large file is uploaded, a cache of its own name made, both deleted at the end."""
    files = (await stored(h, "big.pdf", bytes(LARGE_BYTES + 1)), await stored(h, "small.pdf", b"%"))
    return await _done(h, shared(files, "named"))


async def shared_lost(h: Harness) -> Run:
    """A cache that is gone when it is used, an upload that fails for good."""
    files = (await stored(h, "big.pdf", bytes(LARGE_BYTES + 1)),)
    return await _done(h, shared(files, "named"))


async def shared_prefix(h: Harness) -> Run:
    """One agent warms the prefix, its sibling waits for the first token."""
    return await _done(h, shared((await stored(h, "small.pdf", b"%"),), "prefix"))


async def shared_agents(h: Harness) -> Run:
    """Agents with and without tools share a prefix with a model's step, one of them first."""
    small = await stored(h, "small.pdf", b"%")
    with tempfile.TemporaryDirectory() as folder:
        return await _done(h, sharing_agents.shared_plan(Path(folder), small))


GONE = InvalidRequest("CachedContent not found", status=403)
SCENES: dict[str, tuple[Scene, type[KeepingClient], Kept, Script]] = {
    "shared_named": (shared_named, KeepingClient, Kept(seconds=0.1), Script()),
    "shared_lost": (
        shared_lost,
        KeepingClient,
        Kept(upload_fails=[InvalidRequest("no such endpoint", status=404)]),
        Script({"a": [GONE, Say("An answer.")]}),
    ),
    "shared_prefix": (
        shared_prefix,
        RepeatingClient,
        Kept(),
        Script({"a": [Say("one two three", seconds=1.5)]}),
    ),
    "shared_agents": (
        shared_agents,
        RepeatingClient,
        Kept(),
        Script(sharing_agents.turns()),
    ),
}


async def record(version: str, names: list[str]) -> None:
    """Run the scenes and write their histories."""
    binary = await asyncio.to_thread(find_server, print)
    with (
        tempfile.TemporaryDirectory() as folder,
        local_server(binary.path, Path(folder)) as server,
    ):
        for name in names or list(SCENES):
            path = HISTORIES / f"{version}-{name}.json"
            if path.exists():
                print(f"{path.name} exists: left as it is")
                continue
            scene, client, kept, script = SCENES[name]
            clients = KeepingClients(script, kept, client)
            place = Path(folder) / name
            async with harness(
                server.address,
                place,
                script,
                clients=clients,
                cached_workflows=100,
                tools=True,
            ) as running:
                run = await asyncio.wait_for(scene(running), 60)
                path.write_text((await run.handle.fetch_history()).to_json())
                print(path.name)
    await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2:]))

"""A long list for real: `python -m benchmarks.lists [items]`, 2,000 where nothing is said.

One step over a list of small objects, 50 calls at once, answered by the simulated provider
without any delay; server, worker and command line are processes of their own. Printed: time for
each item, processor time of worker and server for it, the worker's memory, and what the run and
its children left in their histories.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rest import cpu_s, resident_mb

ITEMS = 2_000
LOOK_S = 1.0
TEAM = """\
name: long-list
cost_budget: 1000
max_parallel_agents: 50
inputs: {items: {type: list}}
agents:
  - name: rate
    for_each: {item: thing, in: inputs.items, max_parallel: 50}
    prompt_template: "Briefly: {thing.name} is thing number {thing.n}."
    llm_config: {max_tokens: 64}
outputs: {answers: "{rate}"}
"""


def measure(folder: Path, address: str, server: int, count: int) -> None:
    """Run the list on a server and print what it took."""
    (folder / "team.yaml").write_text(TEAM)
    (folder / "fast.yaml").write_text("tokens_per_second: 0\n")
    things = [{"name": f"thing {n}", "n": n} for n in range(count)]
    (folder / "items.json").write_text(json.dumps(things))
    home = {"CALLBOARD_HOME": str(folder / "home"), "CALLBOARD_TEMPORAL_ADDRESS": address}
    with _worker({**os.environ, **home}) as worker:
        rest, before = resident_mb(worker), (cpu_s(worker), cpu_s(server))
        began = time.monotonic()
        run = _start(folder, {**os.environ, **home})
        most = rest
        while run.poll() is None:
            most = max(most, resident_mb(worker))
            time.sleep(LOOK_S)
        took = time.monotonic() - began
        spent = cpu_s(worker) - before[0], cpu_s(server) - before[1]
        if run.returncode:
            raise SystemExit((folder / "said").read_text()[-2000:])
    print(f"  {count:,} items in {took:.0f} s: {1000 * took / count:.1f} ms an item")
    each = [1000 * seconds / count for seconds in spent]
    print(f"  processor time an item: worker {each[0]:.1f} ms, server {each[1]:.1f} ms")
    print(f"  worker: {rest:.0f} MB at rest, {most:.0f} MB at most")
    asyncio.run(_histories(address))


def _start(folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [
        *(sys.executable, "starter.py", "run", str(folder / "team.yaml"), "--run-id", "long"),
        *("--provider", "simulated", "--simulation", str(folder / "fast.yaml")),
        *("--input", f"items=@{folder / 'items.json'}", "--json"),
    ]
    with (folder / "answer").open("wb") as answer, (folder / "said").open("wb") as said:
        return subprocess.Popen(command, env=environment, stdout=answer, stderr=said)


@contextlib.contextmanager
def _worker(environment: dict[str, str]) -> Iterator[int]:
    """Run a worker; give its process id."""
    worker = subprocess.Popen(
        [sys.executable, "worker.py", "simulated"], env=environment, stdout=subprocess.PIPE
    )
    try:
        assert worker.stdout is not None
        worker.stdout.readline()
        yield worker.pid
    finally:
        worker.terminate()
        worker.wait(60)
        worker.stdout.close()


async def _histories(address: str) -> None:
    """Print how long the run's history is, and its children's."""
    from temporalio.client import Client

    client = await Client.connect(address)
    children: list[tuple[int, int]] = []
    own = (0, 0)
    async for found in client.list_workflows():
        told = await client.get_workflow_handle(found.id).describe()
        info = told.raw_description.workflow_execution_info
        size = (info.history_length, info.history_size_bytes)
        if found.id == "long":
            own = size
        else:
            children.append(size)
    print(f"  the run's history: {own[0]:,} events, {own[1] / 1000:,.0f} kB")
    if children:
        events, size = (max(child[n] for child in children) for n in (0, 1))
        told_most = f"{events:,} events, {size / 1000:,.0f} kB"
        print(f"  {len(children)} child runs, the largest: {told_most}")


def main() -> None:
    """Start a server, run the list, print."""
    from client.devserver.binary import find_server
    from tests.support.server import local_server

    if not Path("/proc/self/status").exists():
        print("  needs /proc: not measured here")
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS
    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr)).path
    with tempfile.TemporaryDirectory() as folder, local_server(binary, Path(folder)) as server:
        measure(Path(folder), server.address, server.pid, count)


if __name__ == "__main__":
    main()

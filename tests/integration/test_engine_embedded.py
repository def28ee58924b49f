"""The engine in programs of their own, on the embedded server: they end, and leave nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
SEED = ROOT.parent / "shared" / "seeds"

MAPPED = {
    "src.orchestrator.engine": "client.engine",
    "src.agents.base": "client.engine",
    "src.agents.workflow": "client.engine",
    "src.llm_clients.openai_client": "tests.support.engines",
    "src.rate_limiting.limiter": "client.engine",
    "src.cost_tracking.tracker": "client.engine",
    "src.monitoring.monitor": "client.engine",
    "src.failure_handling.handler": "client.engine",
}

PRELUDE = """
import asyncio, sys, time
from client.engine import *
from tests.support.engines import FakeClient, agent, quick, workflow
"""


def environment(folder: Path) -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "CALLBOARD_TEMPORAL_BIN")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "CALLBOARD_HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
    }


def started(code: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(folder),
        cwd=folder,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ran(code: str, folder: Path) -> tuple[str, str]:
    """Run a program to its end; return what it wrote. Nothing of it may be left."""
    process = started(code, folder)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert_nothing_left(folder)
    return out, err


def assert_nothing_left(folder: Path) -> None:
    assert list((folder / "tmp").iterdir()) == []
    deadline = time.monotonic() + 30
    while found := _processes_of(folder):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _processes_of(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


@pytest.fixture(autouse=True)
def _built(server_binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_TEMPORAL_BIN", str(server_binary))


def test_the_seeds_complete_example_runs_as_printed(tmp_path: Path) -> None:
    documents = sorted(SEED.glob("004_*.txt"))
    if not documents:
        pytest.skip("the seed documents are not beside this repository")
    text = documents[0].read_text().split("## Complete Example")[1]
    code = text.split("```python")[1].split("```")[0]
    for there, here in MAPPED.items():
        assert there in code
        code = code.replace(f"from {there} import", f"from {here} import")
    out, err = ran(code, tmp_path)
    assert out == "Status: completed\nCost: $0.0060\nTotal calls: 1\n"
    assert err == ""


def test_the_example_is_the_seeds() -> None:
    """examples/engine.py differs from the printed program in its imports and its client only."""
    documents = sorted(SEED.glob("004_*.txt"))
    if not documents:
        pytest.skip("the seed documents are not beside this repository")
    text = documents[0].read_text().split("## Complete Example")[1]
    printed = text.split("async def main():")[1].split("asyncio.run(main())")[0]
    example = (ROOT / "examples" / "engine.py").read_text()
    mine = example.split("async def main(")[1].split('if __name__ == "__main__"')[0]
    assert _statements(printed)[2:] == _statements(mine)[2:]


def _statements(code: str) -> list[str]:
    """Return what stands under each comment, without white space and trailing commas."""
    return re.sub(r"\s+", "", code).replace(",)", ")").split("#")


def test_the_example_runs_offline(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "engine.py"), "--simulated"],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(r"Status: completed\nCost: \$0\.\d{4}\nTotal calls: 1\n", finished.stdout)
    assert_nothing_left(tmp_path)


def test_D34_shutdown_leaves_nothing_and_results_stay(tmp_path: Path) -> None:
    out, err = ran(
        PRELUDE
        + """
async def main():
    async with OrchestrationEngine(FakeClient(), quick()) as engine:
        flow = workflow(agent())
        workflow_id = await engine.register_workflow(flow)
        await engine.execute_workflow(workflow_id)
        print(workflow_id, engine.ui_url)
    print(engine.ui_url)
asyncio.run(main())
""",
        tmp_path,
    )
    workflow_id, ui_url, none = out.split()
    assert ui_url.startswith("http://127.0.0.1:")
    assert (none, err) == ("None", "")
    shown = subprocess.run(
        [sys.executable, str(ROOT / "starter.py"), "bill", workflow_id],
        env=environment(tmp_path), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "gpt-4" in shown.stdout
    assert "0.006" in shown.stdout


@pytest.mark.slow
def test_a_program_that_forgets_its_workflow_ends_all_the_same(tmp_path: Path) -> None:
    out, _ = ran(
        PRELUDE
        + """
async def main():
    client = FakeClient(seconds=60.0)
    engine = OrchestrationEngine(client, quick())
    running = asyncio.create_task(
        engine.execute_workflow(await engine.register_workflow(workflow(agent())))
    )
    while not client.in_flight:
        await asyncio.sleep(0.01)
    print("leaving")
asyncio.run(main())
""",
        tmp_path,
    )
    assert out == "leaving\n"


def test_an_interrupted_program_ends_soon(tmp_path: Path) -> None:
    process = started(
        PRELUDE
        + """
async def main():
    client = FakeClient(seconds=60.0)
    async with OrchestrationEngine(client, quick()) as engine:
        workflow_id = await engine.register_workflow(workflow(agent()))
        async def say():
            while not client.in_flight:
                await asyncio.sleep(0.01)
            print("asked", flush=True)
        saying = asyncio.create_task(say())
        await engine.execute_workflow(workflow_id)
asyncio.run(main())
""",
        tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 25
    assert "KeyboardInterrupt" in err
    assert process.returncode != 0
    assert_nothing_left(tmp_path)


def test_D15_a_timeout_is_quick_on_the_embedded_server(tmp_path: Path) -> None:
    out, _ = ran(
        PRELUDE
        + """
async def main():
    async with OrchestrationEngine(FakeClient(seconds=1.0), quick()) as engine:
        warm = workflow(agent(timeout=0.01, max_retries=0))
        await engine.execute_workflow(await engine.register_workflow(warm))
        took = []
        while len(took) < 10 and min(took, default=1.0) >= 0.5:
            flow = workflow(agent(), timeout=0.05)
            workflow_id = await engine.register_workflow(flow)
            began = time.monotonic()
            await engine.execute_workflow(workflow_id)
            took.append(time.monotonic() - began)
        print(min(took), flow.status.value, flow.agents[0].status.value, flow.error)
asyncio.run(main())
""",
        tmp_path,
    )
    seconds, status, state, error = out.split(maxsplit=3)
    assert (status, state) == ("failed", "cancelled")
    assert "timeout" in error
    assert float(seconds) < 0.5, "the quickest of ten"


@pytest.mark.slow
def test_an_engine_serves_one_loop_after_the_other(tmp_path: Path) -> None:
    out, _ = ran(
        PRELUDE
        + """
engine = OrchestrationEngine(FakeClient(), quick())
async def once():
    flow = workflow(agent())
    await engine.execute_workflow(await engine.register_workflow(flow))
    print(flow.status.value)
asyncio.run(once())
asyncio.run(once())
""",
        tmp_path,
    )
    assert out == "completed\ncompleted\n"

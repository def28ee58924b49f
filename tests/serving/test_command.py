"""`starter.py serve` as a newcomer and as an operator meets it: real processes, real signals."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from client.cli import gateway
from client.cli.console import Refusal
from config.problems import ConfigError
from providers.exceptions import RouterError
from tests.serving.following import text_of
from tests.serving.stage import Event, events
from tests.support.fixtures import ROOT, Starter

pytestmark = pytest.mark.integration

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4o-mini, max_tokens: 300}
instructions: You sum up.
execution: {on_interrupt: continue}
"""
QUESTION = "Sum up in 12 points: " + (ROOT / "LICENSE").read_text()[:6000]
SSE = {"Accept": "text/event-stream"}


# what is found before anything listens


def test_a_key_is_made_and_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert gateway.make_key("alice") == 0
    shown = capsys.readouterr()
    assert re.fullmatch(r"sk-callboard-[\w-]{43}\n", shown.out)
    assert "sha256: " in shown.err
    assert shown.out.strip() not in shown.err
    with pytest.raises(Refusal, match="letters, digits"):
        gateway.make_key("a b")


def test_without_keys_only_this_machine_is_let_in(starter: Starter) -> None:
    done = starter("serve", "--host", "0.0.0.0", "--provider", "simulated")
    assert done.returncode == 2
    assert "--new-key" in done.stderr
    assert "CALLBOARD_SERVE_KEYS" in done.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a home without anything in them."""
    for name in [*os.environ]:
        if name.startswith(("CALLBOARD_", "TEMPORAL_", "EP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**wanted: Any) -> str:
    """Return why it does not even listen."""
    with pytest.raises((Refusal, ConfigError, RouterError)) as error:
        gateway.serve(gateway.ServeWanted(**wanted))
    return str(error.value)


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(port=port, provider="simulated")
    assert f"127.0.0.1:{port}" in said
    assert "--port" in said


def test_C25_agents_that_cannot_be_served(home: Path) -> None:
    assert "nowhere.yaml" in refusal(agents=[Path("nowhere.yaml")])
    file = home / "helper.yaml"
    file.write_text(AGENT)
    assert "two agents have the name 'helper'" in refusal(agents=[file, file], port=0)
    assert "simulated" in refusal(provider="simulatd")


def test_what_is_wrong_with_several_agents_is_told_at_once(home: Path) -> None:
    (home / "helper.yaml").write_text(AGENT)
    (home / "a.yaml").write_text(AGENT + "temperatur: 1\n")
    (home / "b.yaml").write_text(AGENT + "qqq: 1\n")
    told = refusal(agents=[Path(name) for name in ("a.yaml", "helper.yaml", "b.yaml")], port=0)
    assert [line.partition(":")[0] for line in told.splitlines()] == ["a.yaml", "b.yaml"]


def test_keys_that_cannot_be_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, said in (
        ("/nowhere/keys.yaml", "/nowhere/keys.yaml: no such file"),
        ("alice:hush-hush", "16 characters"),
    ):
        monkeypatch.setenv("CALLBOARD_SERVE_KEYS", given)
        told = refusal()
        assert said in told
        assert "hush" not in told


# running


@dataclass
class Serving:
    """A home, and `serve` on it: started, killed and started again."""

    folder: Path
    environment: dict[str, str]
    url: str = ""
    running: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *more: str, port: str = "0") -> "subprocess.Popen[str]":
        """Start it; return once it serves."""
        agent, simulation = self.folder / "helper.yaml", self.folder / "simulation.yaml"
        agent.write_text(AGENT)
        log = self.folder / "requests.jsonl"
        simulation.write_text(f"tokens_per_second: 60\nlog: {log}\n")
        command = [sys.executable, str(ROOT / "starter.py"), "serve", str(agent)]
        command += ["--provider", "simulated", "--simulation", str(simulation), "--port", port]
        process = subprocess.Popen(
            [*command, *more], env=self.environment, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.running.append(process)
        told = self._told(process)
        found = re.search(r"(http://\S+)/v1 ", told)
        assert found, told
        self.url = found[1]
        return process

    def _told(self, process: "subprocess.Popen[str]") -> str:
        told = ""
        assert process.stderr is not None
        for line in process.stderr:
            told += line
            if line.startswith("Ctrl-C stops it"):
                break
        return told

    def worker(self, process: "subprocess.Popen[str]") -> int:
        """Return the process id of the worker."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            if b"worker.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        raise AssertionError("there is no worker")

    def requests(self) -> int:
        """Return how many requests the provider received."""
        lines = (self.folder / "requests.jsonl").read_text().splitlines()
        return len([json.loads(line) for line in lines])

    def stop(self) -> None:
        """Leave none behind."""
        for process in self.running:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()


@pytest.fixture
def serving(tmp_path: Path, clean_environment: dict[str, str]) -> Iterator[Serving]:
    one = Serving(tmp_path, {**clean_environment, "CALLBOARD_GRACEFUL_SHUTDOWN": "1"})
    yield one
    one.stop()


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        yield http


async def read(answer: httpx2.Response, seen: list[Event], texts: int | None = None) -> None:
    """Read events into a list; so many texts, or all."""
    async for one in events(answer):
        seen.append(one)
        if texts is not None and sum(e.name == "text" for e in seen) >= texts:
            return


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_served_stopped_and_served_again(serving: Serving) -> None:
    """An answer outlives the server: the same request is not paid twice."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    asked: dict[str, Any] = {
        "model": "helper",
        "messages": [{"role": "user", "content": "Hello"}],
        "extra_headers": key,
    }
    answers = []
    for stop, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = serving.start()
        async with openai.AsyncOpenAI(base_url=f"{serving.url}/v1", api_key="none") as one:
            answers.append((await one.chat.completions.create(**asked)).choices[0].message.content)
            assert [model.id async for model in one.models.list()] == ["helper"]
        process.send_signal(stop)
        assert process.wait(30) == code
    assert answers[0]
    assert answers[0] == answers[1]
    assert serving.requests() == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_worker_killed_in_mid_answer_and_the_reader_comes_back(serving: Serving) -> None:
    process = serving.start()
    seen: list[Event] = []
    async with client(serving.url) as http:
        path = f"/sessions/{(await http.post('/sessions', json={'agent': 'helper'})).json()['id']}"
        said = {"json": {"content": QUESTION[:9000], "stream": True}}
        async with http.stream("POST", f"{path}/messages", **said) as answer:
            await read(answer, seen, texts=8)
        os.kill(serving.worker(process), signal.SIGKILL)
        back = {**SSE, "Last-Event-ID": str(seen[-1].id)}
        async with http.stream("GET", f"{path}/messages", headers=back) as answer:
            await read(answer, seen)
        told = (await http.get(f"{path}/messages")).json()["data"]
    assert seen[-1].name == "done", seen[-1]
    assert text_of(seen) == seen[-1].data["text"] == told[-1]["content"]
    assert serving.requests() == 2
    assert seen[-1].data["attempts"] == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_reader_who_stays_while_the_worker_is_killed(serving: Serving) -> None:
    process = serving.start()
    seen: list[Event] = []
    async with client(serving.url) as http:
        path = f"/sessions/{(await http.post('/sessions', json={'agent': 'helper'})).json()['id']}"
        said = {"json": {"content": QUESTION[:9000], "stream": True}}
        async with http.stream("POST", f"{path}/messages", **said) as answer:
            reading = asyncio.create_task(read(answer, seen))
            while sum(one.name == "text" for one in seen) < 8:
                await asyncio.sleep(0.01)
            os.kill(serving.worker(process), signal.SIGKILL)
            await asyncio.wait_for(reading, 60)
    assert seen[-1].name == "done", seen[-1]
    assert text_of(seen) == seen[-1].data["text"]
    assert serving.requests() == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_all_of_it_killed_in_mid_answer_and_the_reader_comes_back(serving: Serving) -> None:
    """`kill -9` of the server: worker and Temporal server go with it, the answer does not."""
    process = serving.start()
    seen: list[Event] = []
    with contextlib.suppress(httpx2.HTTPError):
        async with client(serving.url) as http:
            begun = await http.post("/sessions", json={"agent": "helper"})
            path = f"/sessions/{begun.json()['id']}"
            said = {"json": {"content": QUESTION[:9000], "stream": True}}
            async with http.stream("POST", f"{path}/messages", **said) as answer:
                await read(answer, seen, texts=8)
            process.kill()
    process.wait()
    time.sleep(1)
    serving.start()
    async with client(serving.url) as http:
        back = {**SSE, "Last-Event-ID": str(seen[-1].id)}
        async with http.stream("GET", f"{path}/messages", headers=back) as answer:
            await read(answer, seen)
        stands = (await http.get(path)).json()
    assert seen[-1].name == "done", seen[-1]
    assert text_of(seen) == seen[-1].data["text"]
    assert stands["last_turn"] == 1
    assert serving.requests() == 2

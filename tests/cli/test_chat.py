"""`starter.py chat`: by a pipe, at a terminal, and back again (C25)."""

import contextlib
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.teams import nothing_left
from tests.support.fixtures import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4o-mini}
instructions: You help people. The sun is a star. Water boils at 100 degrees.
"""

Chat = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(AGENT)
    return file


@pytest.fixture
def chat(clean_environment: dict[str, str]) -> Chat:
    """Run `starter.py chat` with something typed into a pipe."""

    def run(typed: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(ROOT / "starter.py"), "chat", *arguments],
            env=clean_environment,
            input=typed,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=90,
            check=False,
        )

    return run


@pytest.mark.parametrize("leave", [pytest.param("Quit\n", marks=pytest.mark.slow), ""])
def test_C25_a_pipe_is_answered_line_by_line(
    chat: Chat, agent: Path, leave: str, clean_environment: dict[str, str]
) -> None:
    typed = f"Briefly: the sun is hot.\n\n   \nBriefly: the sea is wet.\n{leave}"
    done = chat(typed, str(agent), "--provider", "simulated")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the sun is hot.", "the sea is wet."]
    assert "[2/50 | " in done.stderr
    assert "[3/50" not in done.stderr
    assert f"chat {agent} --session " in done.stderr
    nothing_left(clean_environment["CALLBOARD_HOME"])


def test_C25_what_is_wrong_before_the_chat(chat: Chat, agent: Path) -> None:
    missing = chat("hi\n", str(agent.with_name("none.yaml")))
    assert missing.returncode == 2
    assert "no such file" in missing.stderr
    agent.write_text("name: [unclosed\nmodel: {}\n")
    broken = chat("hi\n", str(agent))
    assert broken.returncode == 2
    assert "agent.yaml:" in broken.stderr
    assert chat("", "--max-messages", "0", str(agent)).returncode == 2
    assert chat("").returncode == 2


def test_C25_a_providers_error_is_told_and_the_chat_goes_on(
    chat: Chat, agent: Path, tmp_path: Path
) -> None:
    faults = tmp_path / "sim.yaml"
    faults.write_text("faults: [{kind: auth, times: 1}]\n")
    typed = "Briefly: the sun is hot.\nBriefly: the sea is wet.\n\x1b\nEXIT\nBriefly: unheard.\n"
    done = chat(typed, str(agent), "--provider", "simulated", "--simulation", str(faults))
    assert done.returncode == 0, done.stderr
    assert "error: AuthenticationFailed" in done.stderr
    assert "control characters" in done.stderr
    assert done.stdout == "the sea is wet.\n"


def test_a_pipe_ends_where_money_is_waited_for(chat: Chat, agent: Path) -> None:
    agent.write_text(
        AGENT.replace("gpt-4o-mini}", "gpt-4o-mini, max_tokens: 100}")
        + "budget: {session: 0.000135, turn: 0.000135, on_budget: pause}\n"
    )
    long = "Briefly: the sea is wet and full of small fish that swim."
    done = chat(f"{long}\n{long}\n{long}\n", str(agent), "--provider", "simulated")
    assert done.returncode == 3, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "waiting for money: budget.session 0.000135" in done.stderr
    assert "--raise DOLLARS" in done.stderr


@pytest.mark.slow
def test_a_conversation_is_come_back_to(chat: Chat, agent: Path) -> None:
    back = (str(agent), "--provider", "simulated", "--session", "my-talk")
    assert chat("Briefly: the sun is hot.\n", *back).returncode == 0
    again = chat("/history\n/cost\n/nonsense\n/clear\n/history\n/help\n", *back)
    assert again.returncode == 0, again.stderr
    assert "back in my-talk, 1 message remembered" in again.stderr
    assert "assistant: the sun is hot." in again.stderr
    assert "t1#1" in again.stderr
    assert "no command /nonsense" in again.stderr
    assert "nothing was said yet" in again.stderr
    changed = ("--model", "gpt-4o", "--max-messages", "7")
    other = chat("Briefly: the moon is far.\n", *back, *changed)
    assert "simulated gpt-4o answers from now on" in other.stderr
    assert "/7 | " in other.stderr
    assert shlex.join(changed) in other.stderr
    agent.write_text(AGENT.replace("name: helper", "name: another"))
    passed = chat("Hello?\n", *back)
    assert passed.returncode == 2
    assert "is with helper, not another" in passed.stderr
    agent.write_text(AGENT)
    listed = chat("", "--list")
    row = next(line for line in listed.stdout.splitlines() if "my-talk" in line)
    assert {"helper", "open", "Briefly:"} <= set(row.split()), row
    assert chat("/end\n", *back).returncode == 0
    over = chat("Hello?\n", *back)
    assert over.returncode == 2
    assert "has ended" in over.stderr


def test_C25_ctrl_c_leaves(agent: Path, clean_environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), "chat", str(agent), "--provider", "simulated"],
        env=clean_environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Briefly: the sun is hot.\n")
    process.stdin.flush()
    assert process.stdout.readline() == "the sun is hot.\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    with contextlib.suppress(BrokenPipeError):
        process.communicate()
    nothing_left(clean_environment["CALLBOARD_HOME"])


@dataclass
class Terminal:
    """A chat at a terminal of its own, which is wide: no line of it is broken."""

    process: "subprocess.Popen[bytes]"
    descriptor: int
    seen: str = ""
    _at: int = 0

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self.descriptor, text.encode())

    def until(self, text: str, seconds: float = 90) -> None:
        """Wait until something is shown after what was waited for before."""
        deadline = time.monotonic() + seconds
        while (found := self.seen.find(text, self._at)) < 0:
            ready, _, _ = select.select([self.descriptor], [], [], 0.2)
            assert ready or time.monotonic() < deadline, self.seen
            if not ready:
                continue
            self.seen += os.read(self.descriptor, 65536).decode(errors="replace")
        self._at = found + len(text)


@pytest.fixture
def terminal(agent: Path, clean_environment: dict[str, str]) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    slow = agent.with_name("sim.yaml")
    slow.write_text("tokens_per_second: 15\n")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "starter.py"), "chat", str(agent), "--provider", "simulated",
         "--simulation", str(slow)],
        env={**clean_environment, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, start_new_session=True,
        preexec_fn=lambda: _own(theirs),
    )  # fmt: skip
    os.close(theirs)
    yield Terminal(process, ours)
    process.kill()
    process.wait()
    os.close(ours)


def _own(descriptor: int) -> None:
    """Make the terminal the process's own, so that its Ctrl-C is one."""
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def test_C25_at_a_terminal(terminal: Terminal) -> None:
    terminal.until("Ctrl-D")
    terminal.until(">")
    terminal.type("Briefly: the sun is **hot**.\r")
    terminal.until("[1/50 | ")
    assert "the sun is" in terminal.seen
    terminal.type("What is the sun? Explain in 12 points: it is a star, it shines, it is hot.\r")
    terminal.until(" 2 ")
    terminal.type("\x03")
    terminal.until("stopped")
    terminal.until("[1/50 | ")
    terminal.type("/help\r")
    terminal.until("/approve")
    terminal.type("\x03")
    terminal.until("--session")
    assert terminal.process.wait(30) == 130


def test_files_at_a_terminal(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(34_000))
    terminal.until("Ctrl-D")
    terminal.until(">")
    terminal.type(f"/file {tmp_path}/ca\t")
    terminal.until("t.png")
    terminal.type("\r")
    terminal.until("[picture cat.png, 34.0 kB]")
    terminal.type("Briefly: it is a cat.\r")
    terminal.until("[1/50 | ")
    terminal.type("/history\r")
    terminal.until("[picture cat.png, 34.0 kB]")
    terminal.type("/file\r")
    terminal.until("with the next message: no files")

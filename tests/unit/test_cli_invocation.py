"""What a newcomer meets first: commands that can be pasted, and the cure for what is missing."""

import contextlib
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli.chatting import ChatWanted, way_back
from client.cli.console import FAILED, USAGE, _wrapped, guarded, on_screen, say
from client.cli.invocation import pasteable
from client.planning import PlanError
from client.storage import open_storage
from config.problems import ConfigError, Problem
from config.settings import load_settings
from starter import app

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
SAID = "Come back with: python starter.py watch r-1"


@pytest.fixture
def nothing_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("nothing_on_path")
def test_what_can_be_pasted_already_stays_as_it_is() -> None:
    where = {"executable": "/cb/.venv/bin/python", "root": Path("/cb"), "folder": Path("/cb")}
    once = pasteable(SAID, **where)
    assert pasteable(once, **where) == once


@pytest.mark.usefixtures("nothing_on_path")
def test_a_venv_that_is_not_activated_is_named() -> None:
    said = pasteable(SAID, executable="/cb/.venv/bin/python", root=Path("/cb"), folder=Path("/cb"))
    assert said == "Come back with: .venv/bin/python starter.py watch r-1"


@pytest.mark.usefixtures("nothing_on_path")
def test_another_folder_gets_whole_paths_fit_for_a_shell() -> None:
    said = pasteable(
        "`python worker.py` or `python starter.py dev`",
        executable="/my cb/.venv/bin/python",
        root=Path("/my cb"),
        folder=Path("/home/ada"),
    )
    python = "'/my cb/.venv/bin/python'"
    assert said == f"`{python} '/my cb/worker.py'` or `{python} '/my cb/starter.py' dev`"


def test_an_activated_venv_needs_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pasteable(SAID, executable=str(python), root=tmp_path, folder=tmp_path) == SAID


def test_other_text_stays() -> None:
    text = "python my_starter.py, python -m pip, starter.py"
    assert pasteable(text) == text


@pytest.mark.parametrize("program", ["starter.py", "worker.py"])
def test_a_python_without_the_packages_says_how_to_get_one(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", program, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "make venv" in done.stderr
    assert f".venv/bin/python {program}" in done.stderr
    assert "Traceback" not in done.stderr


def test_who_has_no_key_is_told_what_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise PlanError(["nobody can answer:", "  - openai/x: EP_OPENAI_API_KEY is not set."])

    assert guarded(command) == USAGE
    assert "--provider simulated" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("given", [["--provider", "simulated"], ["--simulated"]])
def test_who_asked_for_the_simulator_is_not_told_of_it(
    given: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> int:
        raise PlanError(["EP_OPENAI_API_KEY is not set."])

    monkeypatch.setattr("sys.argv", ["starter.py", "run", "team.yaml", *given])
    assert guarded(command) == USAGE
    assert "To try it" not in capsys.readouterr().err


def test_each_of_several_problems_has_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(*lines: int) -> int:
        raise ConfigError(Problem("t.yaml", line, "a", "wrong") for line in lines)

    assert guarded(lambda: command(3)) == USAGE
    assert capsys.readouterr().err == "error: t.yaml:3: a: wrong\n"
    assert guarded(lambda: command(3, 12)) == USAGE
    assert capsys.readouterr().err.splitlines() == [
        "error: 2 problems:",
        "t.yaml:3: a: wrong",
        "t.yaml:12: a: wrong",
    ]


def test_a_package_that_is_missing_after_an_update_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(module: str) -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    assert guarded(lambda: command("not_there.at_all")) == USAGE
    assert "make venv" in capsys.readouterr().err
    assert guarded(lambda: command("client.not_there")) == FAILED  # a mistake of ours


def test_help_names_no_value_where_none_is_taken() -> None:
    for command in ([], ["run"], ["chat"], ["test"]):
        shown = CliRunner().invoke(app, [*command, "--help"]).output
        assert "--help" in shown
        assert "bool" not in shown
    assert "NAME=VALUE" in CliRunner().invoke(app, ["run", "--help"]).output


def test_an_input_without_its_option_is_told_what_it_lacks() -> None:
    shown = CliRunner().invoke(app, ["run", "t.yaml", "topic=tea"]).output
    assert "--input topic=tea" in " ".join(shown.replace("│", "").split())
    for other in (["run", "t.yaml", "tea"], ["status", "r-1", "topic=tea"]):
        assert "written" not in CliRunner().invoke(app, other).output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_line_that_counts_on_takes_the_place_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Terminal()
    with contextlib.redirect_stderr(screen):
        for seconds in (15, 30):
            say(f"building the Temporal server: 0:{seconds} min, 7 of about 9 packages")
        say("built")
        say("building the Temporal server: again")
    first, second, *rest = screen.getvalue().split("\x1b[2F\x1b[J")
    assert first.endswith("0:15 min,\n7 of about 9 packages\n")
    assert second.endswith("about 9 packages\nbuilt\nbuilding the Temporal server: again\n")
    assert rest == []


def test_elsewhere_every_line_stays() -> None:
    file = io.StringIO()
    with contextlib.redirect_stderr(file):
        for seconds in (15, 30):
            say(f"building the Temporal server: 0:{seconds} min")
    assert file.getvalue().count("building") == 2
    assert "\x1b" not in file.getvalue()


def test_an_answer_is_wrapped_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    answer = "What one may do with copies.\n    code that is indented stays\x1b[2J"
    with contextlib.redirect_stdout(Terminal()):
        shown = on_screen(answer)
    assert shown == "What one may do with\ncopies.\n    code that is indented stays[2J"
    with contextlib.redirect_stdout(io.StringIO()):
        assert on_screen(answer) == answer


def test_a_command_is_left_to_the_terminal_to_wrap() -> None:
    come_back = "Come back with: .venv/bin/python starter.py chat an/agent.yaml --session abc"
    curl = "  curl http://127.0.0.1:8080/v1/models -H 'Content-Type: application/json'"
    assert _wrapped(come_back, 40) == come_back
    assert _wrapped(curl, 40) == curl
    prose = "stopped. What was open goes on with the next `.venv/bin/python starter.py dev`"
    assert "\n" in _wrapped(prose, 40)


def test_the_way_back_to_a_conversation_asks_the_same_model() -> None:
    plain = ChatWanted(Path("an agent.yaml"))
    assert way_back(plain, "c-1").endswith("starter.py chat 'an agent.yaml' --session c-1")
    other = ChatWanted(
        Path("a.yaml"), provider="simulated", simulation=Path("s.yaml"), model="openai/gpt-4o"
    )
    options = "--provider simulated --simulation s.yaml --model openai/gpt-4o"
    assert way_back(other, "c-1").endswith(f"chat a.yaml --session c-1 {options}")


@pytest.mark.parametrize("place", ["a file", "no room"])
def test_a_folder_that_cannot_be_used_is_named(
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.write_text("in the way")
    monkeypatch.setenv("CALLBOARD_HOME", str(home))

    def command() -> int:
        if place == "a file":
            open_storage(load_settings(dotenv=None))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home / "report.xml"))

    assert guarded(command) == USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"error: {home}")
    assert ("CALLBOARD_HOME" in said) is (place == "a file")
    assert "Errno" not in said


def test_uv_uses_the_machines_authorities(tmp_path: Path) -> None:
    bundles = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    if not any(Path(bundle).is_file() for bundle in bundles):
        pytest.skip("this machine keeps its authorities elsewhere")
    fake = tmp_path / "uv"
    fake.write_text('#!/bin/sh\necho "$1 $UV_SYSTEM_CERTS $UV_NATIVE_TLS"\n')
    fake.chmod(0o755)
    plain = {"PATH": f"{tmp_path}:{os.defpath}"}

    def said(environment: dict[str, str]) -> str:
        command = ["sh", str(ROOT / "scripts" / "uv.sh"), "sync"]
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    assert said(plain) == "sync true true\n"
    assert said({**plain, "UV_SYSTEM_CERTS": "0"}) == "sync 0 true\n"

"""Each kind of bad input: one clear message, exit code 2, nothing started."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.teams import TWO, write_team

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

STEP = "  - {name: draft, prompt_template: hello}\n"

BAD_FILES = {
    "syntax": ("name: [\n", ["team.yaml:"]),
    "unknown key": ("name: x\nagentes: []\n", ["agentes", "unknown key", "agents"]),
    "unknown dependency": (
        "name: x\nagents:\n" + STEP + "  - {name: b, prompt_template: x, dependencies: [drft]}\n",
        ["team.yaml:4", "drft", "draft"],
    ),
    "cycle": (
        "name: x\nagents:\n"
        "  - {name: a, prompt_template: x, dependencies: [b]}\n"
        "  - {name: b, prompt_template: x, dependencies: [a]}\n",
        ["a → b → a", "team.yaml:3"],
    ),
    "duplicate name": ("name: x\nagents:\n" + STEP + STEP, ["draft", "team.yaml:4"]),
    "template naming nothing": (
        "name: x\nagents:\n  - {name: a, prompt_template: 'see {nobody}'}\n",
        ["nobody", "team.yaml:3"],
    ),
    "CEL": (
        "name: x\nagents:\n"
        + STEP
        + "  - {name: b, dependencies: [draft], gate: 'agents.draft ='}\n",
        ["gate", "team.yaml:4"],
    ),
    "unknown persona": (
        "name: x\nagents:\n  - {name: a, persona: reviewr, prompt_template: x}\n",
        ["reviewr", "reviewer"],
    ),
}


def refused(done: "subprocess.CompletedProcess[str]", home: str, *words: str) -> None:
    """Check a refusal: its code, its words, no traceback, no server's file."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert not (Path(home) / "server" / "temporal.db").exists()


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file(
    name: str, starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    text, words = BAD_FILES[name]
    team = write_team(tmp_path, text)
    done = starter("run", str(team), "--provider", "simulated")
    refused(done, clean_environment["CALLBOARD_HOME"], *words)


BAD_ARGUMENTS = {
    "unknown input": (["--input", "txt=x"], ["txt", "text"]),
    "no utf-8": (["--input", "text=@latin.txt"], ["latin.txt", "UTF-8"]),
    "no input file": (["--input", "text=@absent.txt"], ["absent.txt", "no such file"]),
    "budget": (["--budget", "0.0000001"], ["cost_budget", "draft", "input tokens"]),
    "no budget": (["--budget", "much"], ["--budget", "much"]),
    "unknown provider": (["--provider", "opnai"], ["opnai", "openai"]),
    "follow": (["--follow", "drft"], ["drft", "draft"]),
    "no key": (["--provider", "openai"], ["OPENAI_API_KEY"]),
    "detach": (["--detach"], ["starter.py dev"]),
    "simulation": (["--simulation", "absent.yaml"], ["absent.yaml"]),
    "run id": (["--run-id", "a/b"], ["a/b"]),
    "run id that means another": (["--run-id", "last"], ["--run-id last", "latest run"]),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_a_bad_argument(
    name: str, starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments, words = BAD_ARGUMENTS[name]
    team = write_team(tmp_path)
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    given = ["--provider", "simulated"] if "--provider" not in arguments else []
    done = starter("run", str(team), *given, *arguments, cwd=tmp_path)
    refused(done, clean_environment["CALLBOARD_HOME"], *words)


def test_a_missing_file(starter: Starter, clean_environment: dict[str, str]) -> None:
    done = starter("run", "absent.yaml")
    refused(done, clean_environment["CALLBOARD_HOME"], "absent.yaml", "no such file")


def test_a_missing_required_input(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    text = TWO.replace("default: ", "description: ")
    done = starter("run", str(write_team(tmp_path, text)), "--provider", "simulated")
    refused(done, clean_environment["CALLBOARD_HOME"], "missing", "text")


def test_a_file_over_100_mb(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    large = tmp_path / "large.txt"
    with large.open("wb") as stream:
        stream.truncate(100_000_001)
    team = write_team(tmp_path)
    done = starter("run", str(team), "--provider", "simulated", "--input", f"text=@{large}")
    refused(done, clean_environment["CALLBOARD_HOME"], "large.txt", "100 MB")


def test_a_persona_that_nobody_fits(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "personas: {seer: {requires: [vision], provider_preferences: [openai]}}\n"
        "providers: {openai: {capabilities: [system_prompts]}}\n"
    )
    text = "name: x\nagents:\n  - {name: a, persona: seer, prompt_template: x}\n"
    done = starter(
        *("run", str(write_team(tmp_path, text)), "--provider", "simulated"),
        env={"CALLBOARD_PERSONA_POLICY": str(policy)},
    )
    refused(done, clean_environment["CALLBOARD_HOME"], "seer", "openai", "vision")


def test_an_unknown_price(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    text = TWO.replace("{max_tokens: 300}", "{model: never-heard-of, max_tokens: 9}", 1)
    done = starter(
        *("run", str(write_team(tmp_path, text)), "--provider", "openai"),
        env={"OPENAI_API_KEY": "sk-test"},
    )
    refused(done, clean_environment["CALLBOARD_HOME"], "never-heard-of", "price")
    assert "sk-test" not in done.stderr


def test_an_unreachable_server(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    done = starter(
        *("run", str(write_team(tmp_path)), "--provider", "simulated"),
        env={"TEMPORAL_ADDRESS": "127.0.0.1:1"},
    )
    refused(done, clean_environment["CALLBOARD_HOME"], "127.0.0.1:1", "starter.py dev")


def test_a_bad_setting(starter: Starter, clean_environment: dict[str, str]) -> None:
    done = starter("list", env={"CALLBOARD_COST_BUDGET": "much"})
    refused(done, clean_environment["CALLBOARD_HOME"], "CALLBOARD_COST_BUDGET")


@pytest.mark.parametrize("command", ["status", "bill", "watch", "cancel"])
def test_a_run_that_is_not(
    command: str, starter: Starter, clean_environment: dict[str, str]
) -> None:
    done = starter(command, "nothing-here")
    refused(done, clean_environment["CALLBOARD_HOME"], "nothing-here", "no server is running")


def test_a_mistyped_command(starter: Starter) -> None:
    done = starter("statsu", "last")
    assert done.returncode == 2
    assert "status" in done.stderr

"""Files in `starter.py chat`: from the command line, by a pipe, and who does not take them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fixtures import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AGENT = """\
name: helper
model: {provider: simulated, name: gpt-4o-mini}
instructions: You help people.
"""

Chat = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def chat(clean_environment: dict[str, str], tmp_path: Path) -> Chat:
    """Run `starter.py chat` in the test's folder, with something typed into a pipe."""
    (tmp_path / "agent.yaml").write_text(AGENT)
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(34_000))
    (tmp_path / "notes.md").write_text("The sun is a star.")

    def run(typed: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(ROOT / "starter.py"), "chat", "agent.yaml",
             "--provider", "simulated", *arguments],
            env=clean_environment, input=typed, capture_output=True, text=True, cwd=tmp_path,
            timeout=120, check=False,
        )  # fmt: skip

    return run


def test_files_go_with_the_first_message_and_with_those_that_name_them(chat: Chat) -> None:
    typed = (
        "Briefly: the sun is hot.\n/file notes.md\n/file /etc/hostname\n/file\n"
        "Briefly: the sea is wet.\n/file -\nBriefly: the air is thin.\n/history\n"
    )
    done = chat(typed, "--file", "cat.png")
    assert done.returncode == 0, done.stderr
    said = done.stderr.partition("user: ")[2].split("user: ")
    assert len(said) == 3
    assert said[0].startswith("Briefly: the sun is hot.\n[picture cat.png, 34.0 kB]\n")
    assert said[1].startswith("Briefly: the sea is wet.\n[text notes.md, 18 bytes]\n")
    assert said[2].startswith("Briefly: the air is thin.\nassistant:")
    assert "error: /etc/hostname is outside of" in done.stderr
    assert done.stdout.startswith("the sun is hot.\n")
    assert "with the next message: [text notes.md, 18 bytes]" in done.stderr


def test_what_cannot_be_shown_is_refused_before_a_server_is_touched(
    chat: Chat, tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    missing = chat("hi\n", "--file", "none.png")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "--file: none.png does not exist" in missing.stderr
    (tmp_path / "a.wav").write_bytes(b"RIFF....WAVE")
    deaf = chat("hi\n", "--file", "a.wav")
    assert (deaf.returncode, deaf.stdout) == (2, "")
    assert "a.wav: simulated gpt-4o-mini takes no audio files; these would take" in deaf.stderr
    assert "openai (gpt-audio)" in deaf.stderr
    assert not list(Path(clean_environment["CALLBOARD_HOME"]).glob("*.db"))

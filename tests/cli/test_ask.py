"""`ask`: files and questions to answers; each kind of bad input refused before anything is sent."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from client.cli.asked import Question, describe, prepare_question
from client.cli.asking import answer
from client.cli.console import Refusal
from client.cli.running import Manner
from config.settings import Settings
from contracts.messages import ChatRequest
from providers.exceptions import InvalidRequest
from tests.cli.teams import nothing_left
from tests.execution.fakes import CachingClient, FakeClient
from tests.execution.stage import stage
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

LONG = "Bees make honey. " * 2_000
PDF = b"%PDF-1.4\n<</Type /Pages /Count 2>> <</Type /Page>> <</Type /Page>>\n\0"
SETTINGS = Settings()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    file = tmp_path / "book.txt"
    file.write_text(LONG)
    return file


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(PDF)
    return file


def test_two_questions_about_two_files(
    starter: Starter, clean_environment: dict[str, str], book: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.md"
    other.write_text("Ants dig tunnels.")
    done = starter(
        "ask", "What do bees make?", str(book), str(other), "--prompt", "What do ants dig?",
        "--simulated", "--max-tokens", "60", "--yes",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split("# What do ants dig?")
    assert first.startswith("# What do bees make?\n\n")
    assert "honey" in first
    assert "tunnels" in second
    assert "question 2 · simulated" in done.stderr
    assert " spent of $" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    nothing_left(clean_environment["CALLBOARD_HOME"])


def test_as_json(starter: Starter, book: Path) -> None:
    done = starter("ask", "Honey?", str(book), "--simulated", "--json", "-y", "--max-tokens", "9")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["ok"]
    assert data["answers"][0]["prompt"] == "Honey?"
    assert data["answers"][0]["error"] is None
    assert float(data["cost"]) > 0


def test_B4_an_upload_that_the_provider_does_not_take(starter: Starter, book: Path) -> None:
    done = starter("ask", "Honey?", str(book), "--simulated", "--upload", "-y")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Uploads required but not supported by the provider: book.txt" in done.stderr


BAD = {
    "missing": ("{folder}/none.txt", "does not exist"),
    "empty": ("{folder}/empty.txt", "is empty"),
    "folder": ("{folder}", "is a folder"),
    "a type that nobody takes": ("{folder}/box.zip", "no model takes files of type"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file(
    name: str, starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "box.zip").write_bytes(b"PK\3\4\0\0")
    file, words = BAD[name]
    done = starter("ask", "What?", file.format(folder=tmp_path), "--simulated", "-y")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert words in done.stderr
    assert Path(file.format(folder=tmp_path)).name in done.stderr
    assert not (Path(clean_environment["CALLBOARD_HOME"]) / "server" / "temporal.db").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file(book: Path) -> None:
    book.chmod(0)
    with pytest.raises(Refusal, match=r"book\.txt cannot be read"):
        describe(Question(("What?",), (book,)))


def test_who_would_take_the_file(starter: Starter, tmp_path: Path) -> None:
    sound = tmp_path / "talk.mp3"
    sound.write_bytes(b"ID3\0")
    done = starter(
        "ask", "What?", str(sound), "--provider", "openai", "--model", "gpt-4o", "-y",
        env={"OPENAI_API_KEY": "sk-none"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "the model takes no audio files" in done.stderr
    assert (
        "To ask about talk.mp3 (audio); these would take it: openai (gpt-audio), gemini ("
        in done.stderr
    )


def test_a_provider_without_a_key(starter: Starter, book: Path) -> None:
    done = starter("ask", "What?", str(book), "--provider", "openai", "-y")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr


def test_more_than_the_budget(starter: Starter, book: Path) -> None:
    done = starter("ask", "What?", str(book), "--simulated", "--budget", "0.000001", "-y")
    assert done.returncode == 2
    assert "raise --budget" in done.stderr


async def asked(server: LocalServer, folder: Path, fake: FakeClient, question: Question) -> int:
    """Ask on a real server; the provider is a fake under the simulator's name."""
    ready = prepare_question(SETTINGS, question, describe(question))
    async with stage(server.address, folder, {"simulated": fake}) as runs:
        return await answer(runs, ready, question, Manner())


async def test_B3_questions_share_one_upload_and_one_cache(
    server: LocalServer, tmp_path: Path, book: Path, paper: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fake = CachingClient()
    question = Question(("One?", "Two?", "Three?"), (book, paper), provider="simulated")
    code = await asked(server, tmp_path, fake, question)
    assert code == 0
    assert sorted(name for _, _, name in fake.uploads) == ["book.txt", "paper.pdf"]
    assert len(fake.caches) == 1
    assert [request.cache_key for request in fake.requests] == ["cache-1"] * 3
    assert len(fake.deleted) == 2
    assert fake.caches_deleted == ["cache-1"]
    told = capsys.readouterr()
    assert told.out.count("# ") == 3
    assert "upload paper.pdf: done" in told.err


async def test_B18_a_cache_that_has_gone_in_between(
    server: LocalServer, tmp_path: Path, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def turn(request: ChatRequest) -> object:
        return InvalidRequest("gone", status=404) if request.cache_key else "An answer."

    fake = CachingClient(turn)
    question = Question(("One?", "Two?"), (book,), provider="simulated")
    code = await asked(server, tmp_path, fake, question)
    assert code == 0
    told = capsys.readouterr()
    assert told.out.count("An answer.") == 2
    assert "asked again without the cache" in told.err


async def test_B33_one_question_without_an_answer(
    server: LocalServer, tmp_path: Path, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeClient(InvalidRequest("not that one", status=400), "An answer.")
    question = Question(("One?", "Two?"), (book,), provider="simulated")
    code = await asked(server, tmp_path, fake, question)
    assert code == 1
    told = capsys.readouterr()
    assert "# Two?\n\nAn answer." in told.out
    assert "# One?" not in told.out
    assert "no answer to question 1" in told.err
    assert "not that one" in told.err


async def test_an_answer_is_not_paid_twice(
    server: LocalServer, tmp_path: Path, book: Path, paper: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fake = CachingClient()
    first = Question(("One?", "Two?"), (book, paper), provider="simulated", reuse_s=3600)
    assert await asked(server, tmp_path, fake, first) == 0
    assert len(fake.uploads) == 2
    capsys.readouterr()
    again = Question(("Two?", "One?"), (book, paper), provider="simulated", reuse_s=3600)
    assert await asked(server, tmp_path, fake, again) == 0
    assert (len(fake.requests), len(fake.uploads), len(fake.caches)) == (2, 2, 1)
    told = capsys.readouterr()
    assert told.out.count("An answer.") == 2
    assert "note: answer 1: reused from ask-" in told.err
    assert "$0.0000 spent" in told.err
    paper.write_bytes(PDF.replace(b"1.4", b"1.7"))
    assert await asked(server, tmp_path, fake, again) == 0
    assert len(fake.requests) == 4


async def test_a_file_that_changes_in_between_is_named(
    server: LocalServer, tmp_path: Path, paper: Path
) -> None:
    question = Question(("One?",), (paper,), provider="simulated")
    ready = prepare_question(SETTINGS, question, describe(question))
    paper.write_bytes(PDF.replace(b"1.4", b"1.7"))
    fake = CachingClient()
    async with stage(server.address, tmp_path, {"simulated": fake}) as runs:
        with pytest.raises(Refusal, match=r"paper\.pdf has changed since it was planned"):
            await answer(runs, ready, question, Manner())
    assert fake.requests == []

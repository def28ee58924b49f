"""Files that nobody should be asked about: refused by name, at once, and never read for ever."""

import os
from pathlib import Path

import pytest

from client.cli.asked import Question, describe, prepare_question
from client.cli.console import Refusal
from client.execution import TextPart
from config.settings import Settings
from config.sourcefiles import SourceError, describe_file, encoding_note
from contracts.files import INLINE_BYTES, MOST_BYTES
from tests.support.teamtexts import load, said, step

pytestmark = pytest.mark.unit

USES = "prompt_template: Sum it up., files: "


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notes.md").write_text("Bees make honey.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def question(*files: str, **more: object) -> Question:
    return Question(("What?",), tuple(map(Path, files)), provider="simulated", **more)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "/dev/null"])
def test_what_has_no_end_is_not_read(folder: Path, name: str) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceError, match=f"{name} is a device or a pipe"):
        describe_file(name)
    with pytest.raises(Refusal, match=f"{name} is a device or a pipe"):
        describe(question(name))


def test_what_is_no_path() -> None:
    with pytest.raises(SourceError, match=r"'notes\.md\\x00' is no path: embedded null byte"):
        describe_file("notes.md\0")
    (line,) = said(step(USES + r'["notes.md\0"]'))
    assert r"files[0]: 'notes.md\x00' is no path" in line


def test_what_is_no_pattern() -> None:
    (line,) = said(step(USES + '["**x/*.md"]'))
    assert "files[0]: '**x/*.md' is no pattern: " in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Grüße 🐝".encode(), False),
        ("Grüße".encode("latin-1"), True),
        ("Grüße".encode("utf-16"), True),
        ("🐝".encode()[:3], True),
    ],
)
def test_a_text_that_is_not_in_utf_8_is_told_of(folder: Path, content: bytes, told: bool) -> None:
    (folder / "text.txt").write_bytes(content)
    said_of = "text.txt is no UTF-8 text: what cannot be read of it is sent as \ufffd. Convert it"
    expected = (said_of,) if told else ()
    assert describe(question("text.txt")).notes == expected
    assert load(step(USES + "[text.txt]")).notes == expected
    shared = "shared_context: [text.txt]\n"
    assert load(step("prompt_template: Go., shared_context: true", shared)).notes == expected


def test_what_is_no_text_has_no_encoding(folder: Path) -> None:
    (folder / "a.pdf").write_bytes(b"%PDF \xff")
    assert encoding_note("a.pdf", "a.pdf", "application/pdf") is None
    assert encoding_note("gone.txt", "gone.txt", "text/plain") is None


def test_B3_a_file_that_is_given_twice_is_asked_about_once(folder: Path) -> None:
    asked = question("notes.md", "./notes.md", str(folder / "notes.md"))
    described = describe(asked)
    assert described.paths == (Path("notes.md"),)
    plan = prepare_question(Settings(), asked, described).plan
    assert [part for part in plan.shared_parts if isinstance(part, TextPart)] == [
        TextPart(text="notes.md:\nBees make honey.")
    ]


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"%PDF-1.4 \0")
        file.truncate(size)


def test_more_than_a_request_holds_is_refused_where_it_is_not_uploaded(folder: Path) -> None:
    sparse(folder / "large.pdf", INLINE_BYTES + 1)
    asked = question("large.pdf", "notes.md")
    with pytest.raises(Refusal, match=r"large\.pdf, notes\.md: 20,000,017 bytes together, more"):
        prepare_question(Settings(), asked, describe(asked))


def test_more_than_can_be_uploaded_is_refused(folder: Path) -> None:
    sparse(folder / "large.pdf", MOST_BYTES + 1)
    asked = question("large.pdf")
    with pytest.raises(Refusal, match="the files have 200,000,001 bytes together, 200,000,000"):
        prepare_question(Settings(), asked, describe(asked))


@pytest.mark.parametrize(
    ("shared", "told"),
    [
        ("{files: [notes.md], ttl: 0}", "shared_context.ttl: must be greater than 0, not 0"),
        ("{files: [notes.md], ttl: 1e300}", "shared_context.ttl: must be less than or equal to"),
        ("notes.md", 'shared_context: must be a mapping (key: value), not "notes.md"'),
        ("null", "agents[0].shared_context: the team has no shared_context"),
    ],
)
def test_a_shared_context_that_is_wrong_is_told_of_once(shared: str, told: str) -> None:
    uses = "prompt_template: Go., shared_context: true"
    (line,) = said(step(uses, f"shared_context: {shared}\n"))
    assert told in line

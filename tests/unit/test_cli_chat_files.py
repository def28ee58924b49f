"""Files that a person adds to a message: which may be, how they are told, what Tab completes."""

import os
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from client.cli.chat_commands import COMMANDS
from client.cli.chat_completing import completer, last_path
from client.cli.chat_files import Files, FileTrouble, label, said, split
from contracts.files import INLINE_BYTES
from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, TextPart

pytestmark = pytest.mark.unit

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "cat.png").write_bytes(PNG + bytes(34_000))
    (inner / "dog one.png").write_bytes(PNG)
    (inner / "notes.md").write_text("Hello")
    (tmp_path / "outside.md").write_text("secret")
    monkeypatch.chdir(inner)
    return inner


def read(*paths: str, root: Path | None = None) -> list[str]:
    files = Files()
    parts, _ = files.read(paths, root)
    files.add(parts)
    return files.labels


def test_files_are_told_in_a_few_words(folder: Path) -> None:
    assert read("cat.png", "notes.md") == ["[picture cat.png, 34.0 kB]", "[text notes.md, 5 bytes]"]
    assert read("*.png") == ["[picture cat.png, 34.0 kB]", "[picture dog one.png, 8 bytes]"]
    assert read(str(folder / "*.md"), "notes.md") == ["[text notes.md, 5 bytes]"], "each once"


def test_the_same_file_twice_is_one(folder: Path) -> None:
    files = Files()
    for _ in range(2):
        files.add(files.read(["cat.png"])[0])
    assert len(files.parts) == 1
    assert files.kinds == ("image",)
    files.clear()
    assert not files.parts


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("none.png", None, "none.png does not exist"),
        ("empty.txt", b"", "is empty"),
        ("a.zip", b"PK\x03\x04", "no model takes files of type application/zip"),
        ("*.gif", None, r"\*.gif finds no file"),
        ("inner", None, "is a folder"),
    ],
)
def test_what_cannot_be_added_is_named(
    folder: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    if name == "inner":
        (folder / name).mkdir()
    with pytest.raises(FileTrouble, match=why):
        Files().read(["notes.md", name])


def test_a_pipe_stays_in_its_folder_whatever_leads_out(folder: Path) -> None:
    (folder / "link.md").symlink_to(folder.parent / "outside.md")
    assert read("cat.png", root=folder)
    for path in ("../outside.md", str(folder.parent / "outside.md"), "link.md", "../*.md"):
        with pytest.raises(FileTrouble, match="is outside of"):
            Files().read([path], folder)
        assert read(path), "who sits at the terminal names what he may read"


def test_more_than_a_request_holds_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / "large.png").open("wb") as file:
        file.truncate(INLINE_BYTES + 1)
    with pytest.raises(FileTrouble, match=r"large.png has 20,000,001 bytes, 20,000,000 can be"):
        Files().read(["large.png"])
    for number in range(2):
        (folder / f"half{number}.png").write_bytes(bytes([number]) * (INLINE_BYTES // 2 + 1))
    with pytest.raises(FileTrouble, match="20,000,002 bytes together"):
        Files().read(["half0.png", "half1.png"])


def test_a_text_that_is_no_utf_8_is_noted(folder: Path) -> None:
    (folder / "latin.txt").write_bytes("Käse".encode("latin-1"))
    _, (note,) = Files().read(["latin.txt"])
    assert "latin.txt is no UTF-8" in note


def test_paths_with_blanks_are_quoted_or_escaped() -> None:
    assert split(r'a.png "b c.png" d\ e.png') == ["a.png", "b c.png", "d e.png"]
    with pytest.raises(FileTrouble, match="No closing quotation"):
        split('"a.png')


def test_what_was_said_has_its_files_behind_it() -> None:
    parts = (
        FileRefPart(uri="artifact:" + "0" * 64, mime_type="application/pdf", size_bytes=1_234_567),
        TextPart(text="and"),
        FileInlinePart(data=PNG, mime_type="image/png", name="a.png"),
    )
    told = said(Message("user", "Compare", parts=parts))
    assert told == "Compare\n[document, 1.2 MB]\nand\n[picture a.png, 8 bytes]"
    assert label(FileRefPart(uri="https://a.example/b", mime_type="audio/wav")) == "[sound]"
    assert said(Message("user", "", parts=parts[2:])) == "[picture a.png, 8 bytes]"


def completions(typed: str) -> list[str]:
    found = completer(COMMANDS).get_completions(Document(typed), CompleteEvent())
    return sorted(one.text for one in found)


def test_tab_completes_commands_and_the_paths_behind_file(folder: Path) -> None:
    assert completions("/fi") == ["/file"]
    assert completions("/file ca") == ["t.png"]
    assert completions("/attach notes.md do") == ["g\\ one.png"]
    assert completions("/file dog\\ o") == ["ne.png"]
    assert completions(f"/file {folder}{os.sep}no") == ["tes.md"]
    assert completions("/history ca") == []
    assert last_path("a.png b\\ c") == "b c"

"""Files below a root: nothing outside it is read, written or listed, however it is asked."""

import os
import resource
import signal
from pathlib import Path

import pytest

from contracts.tools import BuiltinTool
from toolbox.builtin import BuiltinTools
from toolbox.calls import Invocation
from toolbox.exceptions import ToolRaised, ToolRefused
from toolbox.folders import READ_BYTES, WRITE_BYTES, Folder

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("hello")
    (root / "sub" / "b.txt").write_text("below")
    (tmp_path / "ws-evil").mkdir()
    (tmp_path / "ws-evil" / "x").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "ws-evil" / "x")
    (root / "out").symlink_to(tmp_path / "ws-evil")
    return root


BAD_PATHS = [
    "../../etc/passwd", "../ws-evil/x", "/etc/passwd", "sub/../../ws-evil/x", "..", "a\0b",
    "sub\\..\\x", "", ".", "a/" * 40 + "x", "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("path", [*BAD_PATHS, "link.txt", "out/x"])
def test_A31_paths_that_lead_out_are_refused(root: Path, path: str) -> None:
    folder = Folder(str(root))
    with pytest.raises(ToolRefused):
        folder.read(path)
    with pytest.raises(ToolRefused):
        folder.write(path, b"x")
    assert (root.parent / "ws-evil" / "x").read_text() == "secret"
    assert sorted(os.listdir(root.parent / "ws-evil")) == ["x"]


def test_A31_the_root_of_one_name_is_not_that_of_a_longer_one(root: Path) -> None:
    with pytest.raises(ToolRefused):
        Folder(str(root)).read(str(root.parent / "ws-evil" / "x"))


def test_files_are_read_written_and_listed(root: Path) -> None:
    folder = Folder(str(root))
    assert folder.read("sub/b.txt") == (b"below", 5)
    assert folder.write("new/deep/c.txt", b"c")
    assert not folder.write("a.txt", b"other")
    assert (root / "a.txt").read_text() == "other"
    assert folder.entries() == ["a.txt", "new/", "sub/"]
    assert folder.entries("new/deep") == ["c.txt"]


def test_what_is_no_plain_file_is_refused(root: Path) -> None:
    os.mkfifo(root / "pipe")
    folder = Folder(str(root))
    for path in ("pipe", "sub"):
        with pytest.raises(ToolRefused, match="no plain file"):
            folder.read(path)
        with pytest.raises(ToolRefused, match="no plain file"):
            folder.write(path, b"x")


def test_what_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(ToolRaised, match=r"there is no nothing\.txt"):
        Folder(str(root)).read("nothing.txt")
    with pytest.raises(ToolRaised, match="root cannot be opened"):
        Folder(str(root / "none")).read("a.txt")
    with pytest.raises(ToolRaised):
        Folder(str(root)).read("a.txt/b")


def test_sizes_have_bounds(root: Path) -> None:
    with (root / "big").open("wb") as file:
        file.truncate(READ_BYTES + 5)
    data, size = Folder(str(root)).read("big")
    assert (len(data), size) == (READ_BYTES, READ_BYTES + 5)
    with pytest.raises(ToolRefused, match="too many"):
        Folder(str(root)).write("b", bytes(WRITE_BYTES + 1))


def test_a_write_that_fails_leaves_the_file_as_it_was(root: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(ToolRaised, match="too large"):
            Folder(str(root)).write("a.txt", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (root / "a.txt").read_text() == "hello"
    assert sorted(os.listdir(root)) == ["a.txt", "link.txt", "out", "sub"]


async def test_the_built_in_tools(root: Path) -> None:
    def tool(name: str) -> BuiltinTools:
        return BuiltinTools(
            BuiltinTool.model_validate({"name": "t", "builtin": name, "root": str(root)})
        )

    result = await tool("read_file").call(Invocation({"path": "a.txt"}))
    assert (result.data, result.is_text) == (b"hello", True)
    (root / "b.bin").write_bytes(b"\x00\xff")
    assert not (await tool("read_file").call(Invocation({"path": "b.bin"}))).is_text
    result = await tool("write_file").call(Invocation({"path": "n.txt", "text": "né"}))
    assert result.data == b"wrote n.txt: 3 bytes"
    result = await tool("list_files").call(Invocation({}))
    assert result.data == b'["a.txt","b.bin","n.txt","sub/"]'

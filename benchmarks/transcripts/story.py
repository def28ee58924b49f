"""The agent that all ways run: it reads one entry after the other, then says that it is done.

What it is asked says how many entries there are and how large each is: "Read 30 entries of 2000
bytes." Entry n is the file `2000/n.txt` of a folder; every entry is another text. Standard library
only: this is imported in the environments of all ways.
"""

import os
import re
from pathlib import Path

INSTRUCTIONS = "Read all entries, one after the other, and say when you are done."
TOOL = "read_file"
DESCRIPTION = "Read a file."
FOLDER_VARIABLE = "BENCHMARK_ENTRIES"
USAGE = (100, 20)
"""Tokens of a call, as the model reports them: prompt, answer."""

_ASKED = re.compile(r"Read (\d+) entries of (\d+) bytes\.")
_WORDS = "the parties agree that nothing herein grants a licence to anyone whosoever "


def question(turns: int, size: int) -> str:
    """Return what the agent is asked."""
    return f"Read {turns} entries of {size} bytes."


def next_path(asked: str, read: int) -> str | None:
    """Return the entry that the model wants after so many; None: it is done."""
    found = _ASKED.fullmatch(asked)
    assert found is not None, asked
    turns, size = map(int, found.groups())
    return f"{size}/{read + 1}.txt" if read < turns else None


def answer(read: int) -> str:
    """Return what the agent says in the end."""
    return f"I have read {read} entries."


def call_id(read: int) -> str:
    """Return the id of the call for the entry after so many."""
    return f"call_{read + 1}"


def write_entries(folder: Path, count: int, size: int) -> None:
    """Write entries; each begins with its number."""
    place = folder / str(size)
    place.mkdir(parents=True, exist_ok=True)
    filler = _WORDS * (size // len(_WORDS) + 1)
    for number in range(1, count + 1):
        (place / f"{number}.txt").write_text(f"Entry {number}: {filler}"[:size])


def entry(path: str) -> str:
    """Read an entry: the tool of the ways that bring none."""
    return (Path(os.environ[FOLDER_VARIABLE]) / path).read_text()

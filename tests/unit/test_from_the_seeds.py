"""docs/from-the-seeds.md is true: what it says works can be imported, and nothing is missing.

C32: the table holds every import of the documents' code, and each target that works is imported.
The documents themselves do not come with the repository; where they are not there, that half is
skipped aloud.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
TABLE = ROOT / "docs" / "from-the-seeds.md"
SEEDS = ROOT.parent / "shared" / "seeds"

THIRD_PARTY = {"tenacity"}
IMPORT = re.compile(r"^from (\S+) import (?:\(([^)]*)\)|(.+))$|^import (\S+)$", re.M)
MODULE = re.compile(r"\bModule(?:\*\*)?: `([\w.]+)`")


class Row(NamedTuple):
    """One line of the table."""

    there: str
    here: str
    status: str


def rows() -> list[Row]:
    section = TABLE.read_text().split("## Names")[1].split("\n## ")[0]
    return [
        Row(*match)
        for match in re.findall(r"^\| [\d, ]+ \| `(.+?)` \| `(.+?)` \| (.+?) \|$", section, re.M)
    ]


def exists(target: str) -> bool:
    module, name = target.rsplit(".", 1)
    try:
        return hasattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module == missing or module.startswith(f"{missing}."):
            return False
        raise


def imports(text: str) -> set[str]:
    """The names that a document's code imports from its own project, with their modules."""
    found = set()
    for module, several, one, plain in IMPORT.findall(text):
        top = (module or plain).split(".")[0]
        if top in sys.stdlib_module_names or top in THIRD_PARTY:
            continue
        names = [name.strip() for name in (several or one).split(",") if name.strip()]
        found |= {f"{module}.{name}" for name in names} or {plain}
    return found


def test_the_table_is_read() -> None:
    table = rows()
    assert len(table) > 60
    assert len({row.there for row in table}) >= len(table) - 1
    assert {row.status for row in table} == {"works"}


@pytest.mark.parametrize("row", rows(), ids=lambda r: r.here)
def test_C32_what_works_can_be_imported(row: Row) -> None:
    assert exists(row.here)


def test_imports_are_found_in_code() -> None:
    code = "import asyncio\nfrom a.b import C, D\nfrom e import (\n    F,\n    G\n)\nimport h\n"
    assert imports(code) == {"a.b.C", "a.b.D", "e.F", "e.G", "h"}


def test_C32_every_import_of_the_seeds_is_in_the_table() -> None:
    if not SEEDS.is_dir():
        pytest.skip("the seed documents are not beside this repository")
    documents = [file.read_text(errors="replace") for file in sorted(SEEDS.glob("*.txt"))]
    wanted = set[str]().union(*map(imports, documents))
    assert len(wanted) > 20
    there = {row.there for row in rows()}
    assert wanted - there == set()
    modules = {module for text in documents for module in MODULE.findall(text)}
    assert modules
    assert {m for m in modules if not any(t.startswith(f"{m}.") for t in there)} == set()

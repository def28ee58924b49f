"""The pages for people do not rot: their links lead somewhere, their names exist."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path)
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
            assert anchor in {slug(heading) for heading in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_promise_nothing_unwritten(page: Path) -> None:
    assert not re.search(r"\b(TODO|TBD|FIXME|XXX|lorem)\b", page.read_text())


def test_the_readme_names_variables_that_exist() -> None:
    known = set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M))
    named = set(re.findall(r"`((?:CALLBOARD|EP)_[A-Z0-9_]+)`", (ROOT / "README.md").read_text()))
    assert named
    assert named - known == set()


def test_the_readme_shows_the_folders_that_are_there() -> None:
    table = (ROOT / "README.md").read_text().split("## Folders")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)/`", table))
    tracked = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__"))
    }
    assert named == tracked


def test_the_readme_shows_the_example_as_it_is() -> None:
    shown = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    without_comments = re.sub(r"\s+# .*", "", shown[1])
    real = (ROOT / "examples" / "hello.yaml").read_text()
    for key in re.findall(r"^\s*-? ?(\w+):", without_comments, re.M):
        assert re.search(rf"\b{key}:", real), key


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text()))
    records = {file.name for file in folder.glob("0*.md")}
    assert records == listed
    for name in records:
        text = (folder / name).read_text()
        assert text.startswith(f"# {name[:4]} ")
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in text, name

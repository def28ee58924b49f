"""The guides are true: their code runs, their tables agree with the adapters' code.

Code is run with the simulated provider, page by page, from top to bottom. A block below
`<!-- not run: why -->` is compiled only.
"""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Usage
from examples.command import SIMULATED
from providers import anthropic_messages, gemini_content, openai_chat, openai_responses, registry
from providers.gemini_content import usage_of as gemini_usage
from providers.openai_usage import chat_usage, responses_usage
from providers.policy import load_policy
from providers.router import PersonaRouter
from scripts import api_reference
from tests.wire.server import Reply, Request, WireServer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [DOCS / name for name in ("integration-guide.md", "quick-reference.md", "providers.md")]
BLOCK = re.compile(r"(<!-- not run: [^>]+-->\n)?```python\n(.*?)```", re.S)
GATES = re.compile(r"```yaml\n(quality_gates:.*?)```", re.S)


def blocks(page: Path) -> list[tuple[bool, str]]:
    return [(not skip, code) for skip, code in BLOCK.findall(page.read_text())]


def compiled(code: str, page: Path) -> Any:
    return compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def quality_service(request: Request) -> Reply:
    metrics = b'{"metrics": {"success_rate": 100, "average_duration": 840, "error_rate": 0}}'
    return Reply((metrics,), 200, {"content-type": "application/json"})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose own policy has every persona served by the simulated provider."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "persona_policy.yaml").write_text(SIMULATED.read_text())
    gates = GATES.search(PAGES[0].read_text())
    assert gates is not None
    (tmp_path / "quality_gates.yaml").write_text(gates[1])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    registry.unregister("echo")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_the_code_of_a_page_runs(
    page: Path,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = blocks(page)
    assert found
    names: dict[str, Any] = {"__name__": "page"}
    async with WireServer(quality_service) as server:
        monkeypatch.setenv("EP_QUALITY_FABRIC_URL", server.url)
        for runs, code in found:
            made = compiled(code, page)
            if runs:
                pending = eval(made, names)  # top-level await makes it a coroutine
                if inspect.iscoroutine(pending):
                    await pending
    if page.name == "integration-guide.md":
        out = capsys.readouterr().out
        assert "Tool called: get_weather with {'location': 'Paris'}" in out
        assert "success_rate: passed (100, wanted >= 99)" in out
        assert len(server.requests) == 2


def test_only_what_cannot_run_is_not_run() -> None:
    skipped = sum(not runs for page in PAGES for runs, _ in blocks(page))
    assert skipped <= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_classes_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"`(providers|client)\.(\w+)\.([A-Za-z_]\w+)", page.read_text())
    for package, module, name in named:
        found = importlib.import_module(f"{package}.{module}")
        assert hasattr(found, name), f"{package}.{module}.{name}"


def test_the_policies_of_the_guide_load(tmp_path: Path) -> None:
    written = re.findall(r"```yaml\n(personas:.*?)```", PAGES[0].read_text(), re.S)
    assert len(written) == 2
    path = tmp_path / "policy.yaml"
    path.write_text(written[0])
    policy, _ = load_policy(path)
    assert list(policy.personas) == ["my_custom_persona"]


def test_A6_the_guides_personas_are_those_of_the_shipped_policy() -> None:
    router = PersonaRouter(ROOT / "config" / "persona_policy.yaml", env={})
    section = PAGES[0].read_text().split("### Personas")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M))
    assert table == {name: router.select_provider(name) for name in router.policy.personas}


def table(heading: str) -> dict[str, list[str]]:
    """A table of docs/providers.md: cells by their row's first word."""
    section = (DOCS / "providers.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows[2:]}


def anthropic_usage(raw: dict[str, Any]) -> Usage:
    return anthropic_messages.usage_of(raw)


READERS: list[Callable[[dict[str, Any]], Usage]] = [
    chat_usage,
    responses_usage,
    anthropic_usage,
    gemini_usage,
]


@pytest.mark.parametrize("column", range(4))
def test_the_usage_table_is_what_the_adapters_read(column: int) -> None:
    rows = table("Usage")
    assert len(rows) == 8
    for name, cells in rows.items():
        wire = re.findall(r"`([\w.]+)`", cells[column]) if name.endswith("_tokens") else []
        assert wire or not name.endswith("_tokens") or "0:" in cells[column] or "+" in cells[column]
        for path in wire:
            raw: Any = 7
            for key in reversed(path.split(".")):
                raw = {key: raw}
            assert getattr(READERS[column](raw), name) == 7, (name, path)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (0, openai_chat.FINISH),
        (1, openai_responses.INCOMPLETE),
        (2, anthropic_messages._FINISH),
        (3, gemini_content._FINISH),
    ],
)
def test_the_table_of_finish_reasons_has_every_word(column: int, words: dict[str, str]) -> None:
    rows = table("Finish reasons")
    for word, ours in words.items():
        assert f"`{word}`" in rows[ours][column], (word, ours)


def test_the_table_of_finish_reasons_has_the_endings_that_are_errors() -> None:
    told = set(re.findall(r"`(\w+)`", table("Finish reasons")["an error"][3]))
    assert told == gemini_content._FAILED | gemini_content._FINAL.keys()


def test_the_table_of_keys_is_the_registrys() -> None:
    rows = table("Keys and addresses")
    for name, vendor in registry.VENDORS.items():
        if name != "claude_agent":
            keys, urls = (tuple(re.findall(r"`(\w+)`", cell)) for cell in rows[name])
            assert keys == vendor.keys
            assert urls == vendor.base_urls


def test_the_api_reference_is_fresh_and_needs_no_sdk() -> None:
    """Sources are read, not imported: the pages are the same whatever is installed."""
    code = (
        "import json, sys; sys.path.insert(0, '.'); from scripts import api_reference as a; "
        "pages = a.pages(); sdks = {'openai', 'anthropic', 'temporalio', 'pydantic'}; "
        "print(json.dumps({'pages': pages, 'imported': sorted(sdks & set(sys.modules))}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    written = {file.name: file.read_text() for file in (DOCS / "api").glob("*.md")}
    wanted = told["pages"]
    stale = [name for name in wanted if written.get(name) != wanted[name]]
    assert (stale, written.keys() - wanted.keys()) == ([], set()), "run: make api"
    assert told["imported"] == []


def test_the_api_reference_names_what_the_modules_export() -> None:
    for module in api_reference.MODULES:
        names = getattr(importlib.import_module(module), "__all__", ())
        page = (DOCS / "api" / f"{module}.md").read_text()
        assert all(re.search(rf"^## {name}(\(\))?$", page, re.M) for name in names)

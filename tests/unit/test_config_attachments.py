"""`files` and `reuse` of an agent: what is taken, what is refused and how, what a plan says."""

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from client.planning import PlanError, Planner
from config import attachments
from contracts.teams import ModelStep
from providers import media
from providers.router import PersonaRouter
from rules import planning
from tests.support.teamtexts import load, said, step

pytestmark = pytest.mark.unit

PROMPT = "prompt_template: Sum it up."
PDF = b"%PDF-1.4\n<</Type /Pages /Count 2>> <</Type /Page>> <</Type /Page>>\n\0"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    team = tmp_path / "team"
    (team / "charts").mkdir(parents=True)
    (team / "report.pdf").write_bytes(PDF)
    (team / "notes.md").write_text("Bees make honey.")
    (team / "charts" / "b.png").write_bytes(b"\x89PNG b")
    (team / "charts" / "a.png").write_bytes(b"\x89PNG a")
    (tmp_path / "secret.txt").write_text("not for models")
    monkeypatch.chdir(team)
    return team


def loaded(body: str) -> ModelStep:
    (only,) = load(step(f"{PROMPT}, {body}")).team.agents
    assert isinstance(only, ModelStep)
    return only


def test_paths_and_patterns() -> None:
    files = loaded('files: [report.pdf, "charts/*.png", "*.md", notes.md]').files
    assert [file.name for file in files] == ["report.pdf", "a.png", "b.png", "notes.md"]
    assert [file.pages for file in files] == [2, None, None, None]
    assert files[0].sha256 == hashlib.sha256(PDF).hexdigest()
    assert files[0].mime_type == "application/pdf"


def test_an_artifact() -> None:
    digest = "a" * 64
    (file,) = loaded(
        f"files: [{{artifact: {digest}, type: application/pdf, size_bytes: 9, pages: 3}}]"
    ).files
    assert (file.path, file.pages, file.size_bytes) == (f"artifact:{digest}", 3, 9)
    assert file.content is not None
    assert file.content.sha256 == digest


BAD = {
    "none.txt": "none.txt does not exist",
    "empty.txt": "empty.txt is empty",
    "charts": "charts is a folder, not a file",
    "box.zip": "no model takes files of type application/zip",
    "*.doc": "*.doc finds no file in",
    "../secret.txt": "../secret.txt must lie in the team file's folder or below",
    "/etc/hostname": "must lie in the team file's folder or below",
    "link.txt": "link.txt is outside of",
    "l*.txt": "link.txt is outside of",
}


@pytest.mark.parametrize("entry", BAD)
def test_what_cannot_be_sent_is_named_with_its_line(entry: str, folder: Path) -> None:
    (folder / "empty.txt").touch()
    (folder / "box.zip").write_bytes(b"PK\3\4")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (line,) = said(step(f'{PROMPT}, files: [notes.md, "{entry}"]'))
    assert line.startswith("t.yaml:3: agents[0].files[1]: ")
    assert BAD[entry] in line


def test_too_much_to_be_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_BYTES", 20)
    (line,) = said(step(f"{PROMPT}, files: [notes.md, report.pdf]"))
    assert "files[1]: its files have" in line


def test_reuse() -> None:
    assert loaded("reuse: 3600").reuse == 3600
    assert loaded("priority: 1").reuse == 0
    (line,) = said(step(f"{PROMPT}, reuse: -1"))
    assert "reuse" in line
    text = step(PROMPT, "defaults: {reuse: 60}\n")
    (only,) = load(text).team.agents
    assert isinstance(only, ModelStep)
    assert only.reuse == 60
    made = planner("openai").plan(load(text).team, {})
    assert planning.nodes(made)[0].reuse == 60


def planner(provider: str) -> Planner:
    keys = {f"{name}_API_KEY": "sk-x" for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
    return Planner(PersonaRouter(env=keys), provider=provider, served={provider})


def test_the_reservation_holds_the_files() -> None:
    spec = load(step(f"{PROMPT}, cost_limit: 9, files: [report.pdf, notes.md]")).team
    made = planner("anthropic").plan(spec, {})
    models = [made.candidates[index].model for index in made.step_candidates["s"]]
    pages = max(media.file_tokens(model, "application/pdf", len(PDF), pages=2) for model in models)
    text = media.file_tokens(models[0], "text/markdown", len("Bees make honey."))
    assert made.file_tokens["s"] == pages + text + 2 * media.NAME_BYTES
    bare = planner("anthropic").plan(load(step(f"{PROMPT}, cost_limit: 9")).team, {})
    with_files, without = planning.nodes(made)[0], planning.nodes(bare)[0]
    assert with_files.prompt_bytes - without.prompt_bytes == made.file_tokens["s"]


def test_files_that_the_budget_cannot_pay() -> None:
    spec = load(step(f"{PROMPT}, cost_limit: 0.0001, files: [report.pdf]")).team
    spec = spec.model_copy(update={"cost_budget": Decimal(9)})
    with pytest.raises(PlanError, match="cost_limit"):
        planner("openai").plan(spec, {})
    assert planner("anthropic").plan(spec, {}), "which counts the prompt itself"


def test_candidates_are_those_that_take_the_files(folder: Path) -> None:
    (folder / "talk.mp3").write_bytes(b"ID3")
    spec = load(step(f"{PROMPT}, cost_limit: 9, files: [talk.mp3]")).team
    made = planner("gemini").plan(spec, {})
    assert {candidate.provider for candidate in made.candidates} == {"gemini"}
    with pytest.raises(PlanError) as error:
        planner("openai").plan(spec, {})
    assert "the model takes no audio files" in str(error.value)
    assert "its files: talk.mp3; these would take them: openai (gpt-audio), gemini (" in str(
        error.value
    )

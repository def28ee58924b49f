"""`shared_context` of a team: two spellings, what is refused and how, what a plan makes of it."""

import base64
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.attaching import parts_of
from activities.known_caches import Known
from client.attaching import with_stored_files
from client.planning import PlanError, Planner
from client.retention import Held, find_leftovers
from client.storage import Storage
from config.sourcefiles import SourceError, describe_file
from contracts.files import INLINE_BYTES, LARGE_BYTES, MOST_BYTES, AttachedFile
from contracts.plans import Plan
from contracts.sharing import CACHES, UPLOADS
from contracts.teams import TeamSpec
from providers import media
from providers.exceptions import InvalidRequest
from providers.router import PersonaRouter
from rules import planning
from stores.artifacts import ArtifactStore
from stores.exceptions import WrongKey
from stores.locations import DataDir
from stores.sealing import PLAIN, AesGcm
from stores.spools import FileSpools
from tests.support.teamtexts import load, said, step

pytestmark = pytest.mark.unit

USES = "prompt_template: Sum it up., cost_limit: 90, shared_context: true"
PLAIN_STEP = "prompt_template: Sum it up., cost_limit: 90"
KEYS = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
PDF = b"%PDF-1.4\n<</Type /Pages /Count 2>> <</Type /Page>> <</Type /Page>>\n\0"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    team = tmp_path / "team"
    team.mkdir()
    (team / "report.pdf").write_bytes(PDF)
    (team / "notes.md").write_text("Bees make honey.")
    (tmp_path / "secret.txt").write_text("not for models")
    monkeypatch.chdir(team)
    return team


def loaded(before: str, body: str = USES) -> TeamSpec:
    return load(step(body, before)).team


def planned(team: TeamSpec, provider: str) -> Plan:
    keys = {f"{name}_API_KEY": "sk-x" for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
    return Planner(PersonaRouter(env=keys), provider=provider, served={provider}).plan(team, {})


def large(folder: Path, name: str, size: int = LARGE_BYTES + 1) -> None:
    """Write a sparse file whose pages cannot be counted."""
    with (folder / name).open("wb") as file:
        file.truncate(size)


def test_both_spellings() -> None:
    short = loaded('shared_context: [report.pdf, "*.md"]\n').shared_context
    assert short is not None
    assert [file.name for file in short.files] == ["report.pdf", "notes.md"]
    assert (short.cache, short.ttl, short.keep) == (True, 3600.0, False)
    form = "shared_context: {files: [report.pdf], cache: false, ttl: 60, keep: true}\n"
    long = loaded(form).shared_context
    assert long is not None
    assert (long.cache, long.ttl, long.keep) == (False, 60.0, True)
    assert loaded("", PLAIN_STEP).shared_context is None


def test_the_default_is_for_all_who_do_not_say_otherwise() -> None:
    text = (
        "name: t\nshared_context: [notes.md]\ndefaults: {shared_context: true}\nagents:\n"
        "  - {name: a, prompt_template: x}\n"
        "  - {name: b, prompt_template: x, shared_context: false}\n"
        "  - {name: c, set: '1'}\n"
    )
    used = [getattr(one, "shared_context", None) for one in load(text).team.agents]
    assert used == [True, False, None]


@pytest.mark.parametrize(
    ("before", "body", "told"),
    [
        ("", USES, "t.yaml:3: agents[0].shared_context: the team has no shared_context"),
        (
            "shared_context: [notes.md]\n",
            PLAIN_STEP,
            "t.yaml:2: shared_context: no agent uses it: say shared_context: true at an agent or "
            "in defaults",
        ),
        ("shared_context: [none.txt]\n", USES, "shared_context[0]: none.txt does not exist"),
        ("shared_context: [empty.txt]\n", USES, "shared_context[0]: empty.txt is empty"),
        ("shared_context: [box.zip]\n", USES, "no model takes files of type application/zip"),
        ("shared_context: [notes.md, ../secret.txt]\n", USES, "shared_context[1]: ../secret.txt"),
        ("shared_context: {files: [link.txt]}\n", USES, "shared_context.files[0]: link.txt is out"),
        ("shared_context: [round.txt]\n", USES, "round.txt cannot be read: "),
        ("shared_context: []\n", USES, "shared_context"),
        ("shared_context: {ttl: 60}\n", USES, "shared_context"),
        ("shared_context: {files: [notes.md], ttl: 0}\n", USES, "shared_context.ttl"),
        ("shared_context: {file: [notes.md]}\n", USES, "shared_context"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    folder: Path, before: str, body: str, told: str
) -> None:
    (folder / "empty.txt").touch()
    (folder / "box.zip").write_bytes(b"PK\3\4")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "round.txt").symlink_to(folder / "round.txt")
    lines = said(step(body, before))
    assert any(told in line for line in lines), lines


def test_a_file_that_exists_and_cannot_be_read() -> None:
    unreadable = Path("/proc/self/mem")
    if not unreadable.exists():
        pytest.skip("there is no such file here")
    with pytest.raises(SourceError, match="/proc/self/mem cannot be read: Input/output error"):
        describe_file(unreadable)


def test_the_reservation_of_all_who_use_it_holds_it() -> None:
    made = planned(loaded("shared_context: [report.pdf]\n"), "anthropic")
    (node,) = planning.nodes(made)
    models = [made.candidates[index].model for index in node.candidates]
    most = max(media.file_tokens(model, "application/pdf", len(PDF), pages=2) for model in models)
    assert made.file_tokens["s"] == most + media.NAME_BYTES
    assert node.shared
    assert (node.uploads, node.needs_uploads, node.tools) == ((), False, False)
    assert len(made.shared_tokens) == len(made.candidates)
    assert {one.caching for one in made.candidates} == {"prefix"}
    header = planning.pages(made)[0].header
    assert header is not None
    assert header.shared is not None
    assert header.shared.tokens == made.shared_tokens


def test_who_would_take_the_kind_is_named(folder: Path) -> None:
    (folder / "talk.mp3").write_bytes(b"ID3")
    team = loaded("shared_context: [talk.mp3]\n")
    with pytest.raises(PlanError) as error:
        planned(team, "anthropic")
    assert "its files: talk.mp3; these would take them: openai (gpt-audio), gemini (" in str(
        error.value
    )


def test_large_files_are_uploaded_where_that_can_be_done(folder: Path) -> None:
    large(folder, "big.pdf")
    large(folder, "big.md")
    made = planned(loaded("shared_context: [big.pdf, big.md, report.pdf]\n"), "gemini")
    (node,) = planning.nodes(made)
    header = planning.header(made, 1)
    assert [file.name for file in header.files] == ["big.pdf"]  # texts are sent as text
    assert (node.uploads, node.needs_uploads) == ((0,), False)


def test_more_than_a_request_holds_has_to_be_uploaded(folder: Path) -> None:
    large(folder, "a.pdf", INLINE_BYTES)
    team = loaded("shared_context: [a.pdf, report.pdf]\n")
    assert planning.nodes(planned(team, "gemini"))[0].needs_uploads
    simulated = Planner(PersonaRouter(env={}), provider="simulated")
    with pytest.raises(PlanError, match="cannot be uploaded to simulated"):
        simulated.plan(team, {})


def test_more_than_can_be_uploaded(folder: Path) -> None:
    large(folder, "a.pdf", MOST_BYTES)
    (line,) = said(step(USES, "shared_context: [a.pdf, report.pdf]\n"))
    assert f"shared_context[1]: its files have {MOST_BYTES + len(PDF):,} bytes together" in line
    large(folder, "a.md", INLINE_BYTES)
    (line,) = said(step(USES, "shared_context: [a.md, notes.md]\n"))
    assert "20,000,000 can be sent" in line


async def test_a_file_that_changes_before_the_run_is_refused_by_name(folder: Path) -> None:
    team = loaded("shared_context: [notes.md]\n")
    (folder / "notes.md").write_text("Bees make wax.")
    with pytest.raises(SourceError, match=r"notes\.md has changed since the team was loaded"):
        await with_stored_files(team, ArtifactStore.open("memory://"))


async def test_an_artifact_that_has_gone_names_the_file_and_the_run() -> None:
    team = await with_stored_files(
        loaded("shared_context: [notes.md]\n"), ArtifactStore.open("memory://")
    )
    assert team.shared_context is not None
    (file,) = team.shared_context.files
    with pytest.raises(InvalidRequest) as error:
        await parts_of([file], ArtifactStore.open("memory://"), "run-7")
    assert "file notes.md, which run run-7 needs: " in str(error.value)
    assert file.sha256 in str(error.value)
    assert not error.value.sent


async def test_a_wrong_key_is_told_of_and_gives_no_garbage(folder: Path) -> None:
    sealed = ArtifactStore.open("store", AesGcm([("KEY_A", KEYS[0])]))
    team = await with_stored_files(loaded("shared_context: [notes.md]\n"), sealed)
    assert team.shared_context is not None
    other = ArtifactStore.open("store", AesGcm([("KEY_B", KEYS[1])]))
    with pytest.raises(WrongKey, match="KEY_A"):
        await parts_of(team.shared_context.files, other, "run-7")
    with pytest.raises(WrongKey, match="no keys are configured"):
        await parts_of(team.shared_context.files, ArtifactStore.open("store"), "run-7")


@pytest.mark.parametrize("prefix", [CACHES, UPLOADS])
async def test_gc_takes_the_names_of_what_is_no_more(tmp_path: Path, prefix: str) -> None:
    store = ArtifactStore.open(str(tmp_path / "artifacts"))
    known = Known(store, prefix)
    await known.add("gone", "a", 1)
    await known.add("there", "b", 10 * 86_400)
    await known.add("deleted", "c", 10 * 86_400)
    await known.forget("deleted")
    time.sleep(0.6)  # half of a second early, it is taken for gone
    then = time.time() - 5 * 86_400
    for path in (tmp_path / "artifacts").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))
    storage = Storage(DataDir(tmp_path), store, FileSpools(tmp_path / "spools"), PLAIN)
    leftovers = await find_leftovers(storage, Held(), datetime.now(UTC) - timedelta(days=1), [])
    assert len(leftovers.garbage.names) == 2
    assert len(leftovers.garbage.artifacts) == 3  # of "deleted" both what was and what is said
    assert (await known.find("there")) is not None


def test_a_file_s_own_form() -> None:
    file = AttachedFile(path="p", name="n", mime_type="image/png", size_bytes=1, sha256="a" * 64)
    assert (file.large, file.source.name, file.source.sha256) == (False, "n", "a" * 64)

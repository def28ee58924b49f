"""An agent's files in a run: stored once, sent as parts, refused when they have changed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.sourcefiles import SourceError
from contracts.files import AttachedFile
from contracts.parts import FileInlinePart, TextPart
from contracts.plans import Plan
from contracts.teams import WorkflowStatus
from rules import planning
from tests.support.attaching import PDF, attach
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(server: LocalServer, tmp_path: Path) -> AsyncIterator[Harness]:
    script = Script({"a": [Say("one two")]})
    async with harness(server.address, tmp_path, script) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> tuple[AttachedFile, ...]:
    return (
        attach(tmp_path / "paper.pdf", PDF),
        attach(tmp_path / "notes.md", b"Bees make honey.", "text/markdown"),
    )


def with_files(files: tuple[AttachedFile, ...], **more: object) -> Plan:
    step = agent("a", "Sum it up.", files=files, **more)
    return plan(team(step), file_tokens={"a": 5_000})


async def test_files_are_parts_of_the_request(
    served: Harness, files: tuple[AttachedFile, ...]
) -> None:
    made = with_files(files)
    result, _ = await served.run(made)
    assert result.status is WorkflowStatus.COMPLETED
    ((_, _, request),) = served.script.requests
    (turn,) = request.messages
    assert turn.content == "Sum it up."
    assert turn.parts == (
        FileInlinePart(data=PDF, mime_type="application/pdf", name="paper.pdf"),
        TextPart(text="notes.md:\nBees make honey."),
    )
    run = served.runs.get(result.run_id)
    (attempt,) = (await run.cost()).attempts
    assert attempt.input_bound == planning.nodes(made)[0].prompt_bytes + 24
    assert attempt.input_bound > 5_000


@pytest.mark.parametrize("name", ["paper.pdf", "notes.md"])
async def test_a_file_that_has_changed_is_refused_by_name(
    served: Harness, files: tuple[AttachedFile, ...], tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(SourceError, match=f"{name} has changed since the team was loaded"):
        await served.start(with_files(files))
    assert served.script.requests == []


async def test_a_file_that_has_gone_is_refused_by_name(
    served: Harness, files: tuple[AttachedFile, ...], tmp_path: Path
) -> None:
    (tmp_path / "paper.pdf").unlink()
    with pytest.raises(SourceError, match=r"paper\.pdf cannot be read"):
        await served.start(with_files(files))


async def test_an_artifact_that_is_not_in_the_store(
    served: Harness, files: tuple[AttachedFile, ...]
) -> None:
    ref = await served.store.put_bytes(PDF, "application/pdf")
    kept = files[0].model_copy(update={"content": ref, "path": f"artifact:{ref.sha256}"})
    result, _ = await served.run(with_files((kept,)))
    assert result.status is WorkflowStatus.COMPLETED
    gone = kept.model_copy(update={"content": ref.model_copy(update={"sha256": "b" * 64})})
    with pytest.raises(SourceError, match="is not in the store"):
        await served.start(with_files((gone,)))


async def test_the_same_question_about_another_file_is_not_reused(
    served: Harness, files: tuple[AttachedFile, ...]
) -> None:
    for asked in ((files[0],), (files[1],), (files[0],)):
        await served.run(with_files(asked, reuse=3600))
    assert served.script.count("a") == 2

"""The examples of the seed document, as printed: its code is read and run where it is there.

`provider.generate(...)` leaves its arguments out; they are the state's parts.
"""

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    ExecutionPlan,
    ExecutionState,
    Failure,
    FilePlaceholder,
    FileRefPart,
    FinalizedCommand,
    TextPart,
    UploadTask,
    describe_file,
)
from contracts.execution import Capabilities, Decline, Perform, Refuse
from providers.exceptions import InvalidRequest
from providers.executing import capabilities_of
from rules.stages import CacheStage, UploadStage
from tests.execution.fakes import CachingClient, FakeClient
from tests.support.fixtures import ROOT

pytestmark = pytest.mark.unit

SEEDS = ROOT.parent / "shared" / "seeds"

PRINTED = (
    """
    # Simplest case - no uploads, no caching
    state = ExecutionState(
        plan=plan,
        parts=(TextPart(text="Hello"),)
    )
    # No stages apply, straight to generation
    response = await provider.generate(...)
    """,
    """
    # Complex case - upload, then cache, then generate
    state = ExecutionState(
        plan=plan_with_uploads_and_cache,
        parts=(TextPart(text="Analyze"), FilePlaceholder(index=0))
    )
    # Upload stage runs → substitutes file reference
    # Cache stage runs → creates cache
    # Generation uses cached context
    """,
    """
    # OpenAI adapter - no upload capability
    state = ExecutionState(
        plan=plan_with_uploads,
        parts=(TextPart(text="..."),)
    )
    # Upload stage checks capability → skips
    # Generation runs with original parts
    # Or fails if uploads were required
    """,
)


async def run(code: str, **names: Any) -> dict[str, Any]:
    """Run an example; its elided arguments are the state's parts."""
    source = textwrap.dedent(code).replace("generate(...)", "generate(state.parts)")
    scope = {
        "ExecutionState": ExecutionState,
        "TextPart": TextPart,
        "FilePlaceholder": FilePlaceholder,
        **names,
    }
    compiled = compile(source, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, scope)
    if result is not None:
        await result
    return scope


def test_the_examples_are_those_of_the_document() -> None:
    if not SEEDS.is_dir():
        pytest.skip("the seed documents are not beside this repository")
    (document,) = SEEDS.glob("002_*.txt")
    found = re.findall(r"```python\n(.*?)```", document.read_text(), re.S)
    assert [textwrap.dedent(code).strip() for code in PRINTED] == [c.strip() for c in found]


def plan(*parts: Any, **more: Any) -> ExecutionPlan:
    return ExecutionPlan(calls=(APICall(model="m", parts=parts),), **more)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(b"%PDF")
    return file


async def test_basic_generation() -> None:
    provider = FakeClient("Hi.")
    ran = await run(PRINTED[0], plan=plan(TextPart(text="Hello")), provider=provider)
    assert ran["response"].text == "Hi."
    assert provider.requests[0].messages[0].content == "Hello"
    assert not any(s.applies_to(ran["state"]) for s in (UploadStage(), CacheStage()))


async def test_with_upload_and_cache(paper: Path) -> None:
    shared = TextPart(text="The book")
    made = plan(
        TextPart(text="Analyze"),
        FilePlaceholder(index=0),
        shared_parts=(shared,),
        files=(describe_file(paper),),
        upload_tasks=(UploadTask(part_index=1),),
        cache=CachePlan(),
    )
    state = (await run(PRINTED[1], plan_with_uploads_and_cache=made))["state"]
    client = CachingClient()
    able = capabilities_of(client)
    upload, cache = UploadStage(), CacheStage()
    decision = upload.decide(state, able)
    assert isinstance(decision, Perform)
    (effect,) = decision.effects
    reference = FileRefPart(uri="file-1", mime_type="application/pdf")
    uploaded = upload.transform(state, {effect.key: reference})
    assert uploaded.parts == (TextPart(text="Analyze"), reference)
    assert state.parts[1] == FilePlaceholder(index=0)
    assert not upload.applies_to(uploaded)
    assert cache.applies_to(uploaded)
    done = await APIHandler(client).handle(made)
    assert isinstance(done, FinalizedCommand)
    assert (len(client.uploads), len(client.caches)) == (1, 1)
    assert client.requests[0].cache_key == "cache-1"


@pytest.mark.parametrize("required", [False, True])
async def test_provider_without_upload_support(required: bool) -> None:
    text = TextPart(text="...")
    made = plan(text, upload_tasks=(UploadTask(part_index=0, required=required),))
    state = (await run(PRINTED[2], plan_with_uploads=made))["state"]
    decision = UploadStage().decide(state, Capabilities())
    assert isinstance(decision, Refuse if required else Decline)
    client = FakeClient()
    done = await APIHandler(client).handle(made)
    if required:
        assert isinstance(done, Failure)
        assert "Uploads required but not supported" in done.message
        assert client.requests == []
    else:
        assert client.requests[0].messages[0].content == "..."


async def test_generate_takes_words_parts_and_conversations_and_no_placeholder() -> None:
    client = FakeClient()
    assert (await client.generate("Hi", system="Be brief.", model="x")).text == "An answer."
    (request,) = client.requests
    assert (request.messages[0].content, request.system, request.model) == ("Hi", "Be brief.", "x")
    with pytest.raises(InvalidRequest, match="FilePlaceholder"):
        await client.generate([FilePlaceholder(index=0)])

"""A team's shared context and large files: uploaded, cached and paid once, deleted at the end."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.files import AttachedFile
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from contracts.plans import Plan
from contracts.prices import Rate
from contracts.sharing import SHARED_UNIT
from contracts.teams import ForEachSpec, InputSpec, SharedContext, WorkflowStatus
from providers.exceptions import AuthenticationFailed, InvalidRequest, Overloaded, StreamInterrupted
from rules import billing
from tests.support.attaching import BIG, PDF, attach
from tests.support.harness import harness
from tests.support.keeping import Kept, RepeatingClient, keeping
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import GPT4, agent, candidate, plan, team

pytestmark = pytest.mark.integration


@pytest.fixture
def small(tmp_path: Path) -> AttachedFile:
    return attach(tmp_path / "rules.pdf", PDF)


@pytest.fixture
def big(tmp_path: Path) -> AttachedFile:
    return attach(tmp_path / "report.pdf", BIG)


def shared_plan(
    *files: AttachedFile, agents: int = 3, caching: str = "named", **more: object
) -> Plan:
    """Return a plan of agents that all use the files as their shared context."""
    price = GPT4.model_copy(
        update={"cached_input": Rate(base=Decimal(3)), "cache_storage": Rate(base=Decimal(36))}
    )
    one = candidate(caching=caching).model_copy(update={"price": price})
    steps = [
        agent(
            f"a{n}", f"Question {n}?", shared_context=True, llm_config={"system": f"You are {n}."}
        )
        for n in range(agents)
    ]
    shared = SharedContext(files=files, **more)
    tokens = 5_000
    return plan(
        team(*steps, shared_context=shared, cost_budget=Decimal(100)),
        one,
        file_tokens={step.name: tokens for step in steps},
        shared_tokens=(tokens,),
    )


async def test_B10_a_named_cache_is_made_once_for_all_agents_and_deleted(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    kept = Kept(seconds=0.1)
    async with keeping(server, tmp_path, kept) as h:
        made = shared_plan(small)
        result, _ = await h.run(made)
        assert result.status is WorkflowStatus.COMPLETED
        cost = await h.runs.get(result.run_id).cost()
    (cached,) = kept.caches
    (turn,) = cached.messages
    assert turn.parts == (FileInlinePart(data=PDF, mime_type="application/pdf", name="rules.pdf"),)
    assert [request.cache_key for _, _, request in h.script.requests] == ["cache-1"] * 3
    for name, _, request in h.script.requests:
        (own,) = request.messages
        assert (own.content, own.parts, request.system) == (
            f"You are {name[1]}.\n\nQuestion {name[1]}?",
            (),
            None,
        )
    assert kept.deleted == ["cache-1"]
    (entry,) = [a for a in cost.attempts if a.step.startswith(SHARED_UNIT)]
    assert (entry.state, entry.outcome) == ("settled", "completed")
    assert entry.usage is not None
    assert entry.usage.cache_write_tokens == 1_000
    assert entry.stored_token_hours < 10 < entry.held_token_hours == 5_000
    assert Decimal("0.03") < entry.cost < Decimal("0.031")
    assert entry.reserved == Decimal("0.15") + Decimal("0.18")
    assert cost.reserved == 0
    assert not billing.differences(billing.make_bill(cost, made))


async def test_one_warms_the_prefix_and_the_others_wait_for_its_first_token(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    script = Script({"a0": [Say("one two three four", held=1)]}, default=Say("An answer."))
    async with keeping(server, tmp_path, Kept(), script, RepeatingClient) as h:
        run = await h.start(shared_plan(small, caching="prefix"))
        while script.count() < 3:
            await asyncio.sleep(0.02)
        script.go.set()
        result = await asyncio.wait_for(run.wait(), 60)
        assert result.status is WorkflowStatus.COMPLETED
        cost = await h.runs.get(result.run_id).cost()
    first, *others = sorted(cost.attempts, key=lambda a: a.started_at)
    assert first.step == "a0"
    assert all(first.first_token_at <= other.started_at < first.ended_at for other in others)
    for name, _, request in script.requests:
        shared, own = request.messages
        assert isinstance(shared.parts[0], FileInlinePart)
        assert own.content == f"You are {name[1]}.\n\nQuestion {name[1]}?"
        assert request.cache_key == "cache-1"


async def test_who_fails_before_the_first_token_leaves_it_to_the_next(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    script = Script({"a0": [InvalidRequest("no")]}, default=Say("An answer.", seconds=0.2))
    async with keeping(server, tmp_path, Kept(), script, RepeatingClient) as h:
        _, steps = await h.run(shared_plan(small, caching="prefix"))
    assert [steps[name].status.value for name in ("a0", "a1", "a2")] == [
        "failed",
        "completed",
        "completed",
    ]
    assert script.most_in_flight <= 2


async def test_a_large_file_is_uploaded_once_and_removed(
    server: LocalServer, tmp_path: Path, big: AttachedFile, small: AttachedFile
) -> None:
    kept = Kept(seconds=0.1)
    steps = [agent(f"a{n}", files=(big, small)) for n in range(3)]
    made = plan(team(*steps), file_tokens={step.name: 9_000 for step in steps})
    async with keeping(server, tmp_path, kept) as h:
        result, _ = await h.run(made)
        assert result.status is WorkflowStatus.COMPLETED
    assert kept.uploads == [("report.pdf", BIG)]
    for _, _, request in h.script.requests:
        (turn,) = request.messages
        assert turn.parts == (
            FileRefPart(uri="file-1", mime_type="application/pdf", name="report.pdf"),
            FileInlinePart(data=PDF, mime_type="application/pdf", name="rules.pdf"),
        )
    assert kept.deleted == ["file-1"]


async def test_what_cannot_be_uploaded_is_sent_with_the_request(
    server: LocalServer, tmp_path: Path, big: AttachedFile
) -> None:
    kept = Kept(upload_fails=[InvalidRequest("no such endpoint", status=404)])
    made = plan(team(agent("a", files=(big,))), file_tokens={"a": 9_000})
    async with keeping(server, tmp_path, kept) as h:
        result, _ = await h.run(made)
        assert result.status is WorkflowStatus.COMPLETED
    ((_, _, request),) = h.script.requests
    assert isinstance(request.messages[0].parts[0], FileInlinePart)
    assert len(kept.uploads) == 1


async def test_B4_files_beyond_a_request_need_a_provider_that_keeps_them(
    server: LocalServer, tmp_path: Path
) -> None:
    files = tuple(attach(tmp_path / f"{n}.pdf", BIG * 9 + bytes([n])) for n in range(3))
    made = plan(team(agent("a", files=files, max_retries=0)), file_tokens={"a": 9_000})
    script = Script(default=Say("An answer."))
    async with harness(server.address, tmp_path, script) as h:
        _, steps = await h.run(made)
    assert steps["a"].error == (
        "InvalidRequest: Uploads required but not supported by scripted: 0.pdf, 1.pdf, 2.pdf"
    )
    assert script.requests == []
    kept = Kept()
    async with keeping(server, tmp_path, kept) as h:
        result, _ = await h.run(made)
    assert result.status is WorkflowStatus.COMPLETED
    assert sorted(name for name, _ in kept.uploads) == ["0.pdf", "1.pdf", "2.pdf"]


async def test_B18_a_cache_that_is_gone_is_left_out_and_costs_no_attempt(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    gone = AuthenticationFailed("CachedContent not found (or permission denied)", status=403)
    script = Script({"a0": [gone, Say("An answer.")]})
    async with keeping(server, tmp_path, Kept(), script) as h:
        result, _ = await h.run(shared_plan(small, agents=1))
        assert result.status is WorkflowStatus.COMPLETED
        cost = await h.runs.get(result.run_id).cost()
    first, second = [request for _, _, request in script.requests]
    assert (first.cache_key, second.cache_key) == ("cache-1", None)
    assert len(second.messages) == 2
    assert second.system == "You are 0."
    assert [a.number for a in cost.attempts if a.step == "a0"] == [1]


async def test_a_kept_cache_is_found_by_the_next_run_and_uploads_nothing(
    server: LocalServer, tmp_path: Path, big: AttachedFile
) -> None:
    kept = Kept()
    async with keeping(server, tmp_path, kept) as h:
        first, _ = await h.run(shared_plan(big, keep=True))
        second, _ = await h.run(shared_plan(big, keep=True))
        costs = [await h.runs.get(one.run_id).cost() for one in (first, second)]
    assert len(kept.uploads) == len(kept.caches) == 1
    assert isinstance(kept.caches[0].messages[0].parts[0], FileRefPart)
    assert kept.deleted == []
    assert {request.cache_key for _, _, request in h.script.requests} == {"cache-1"}
    paid = [[a for a in c.attempts if a.step.startswith(SHARED_UNIT)] for c in costs]
    assert [len(entries) for entries in paid] == [1, 0]
    assert paid[0][0].stored_token_hours == 1_000
    assert paid[0][0].cost == Decimal("0.03") + Decimal("0.036")


async def test_a_cache_that_the_budget_cannot_hold_is_not_made(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    kept = Kept()
    made = shared_plan(small, agents=1)
    made = made.model_copy(
        update={"team": made.team.model_copy(update={"cost_budget": Decimal("0.5")})}
    )
    async with keeping(server, tmp_path, kept) as h:
        result, _ = await h.run(made)
        cost = await h.runs.get(result.run_id).cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert kept.caches == []
    assert [a.step for a in cost.attempts] == ["a0"]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (InvalidRequest("too small to be cached", status=400), "released"),
        (StreamInterrupted("the connection broke"), "uncertain"),
    ],
)
async def test_a_cache_that_cannot_be_made_is_no_reason_not_to_answer(
    server: LocalServer, tmp_path: Path, small: AttachedFile, error: Exception, state: str
) -> None:
    kept = Kept(cache_fails=[error])
    async with keeping(server, tmp_path, kept) as h:
        made = shared_plan(small)
        result, _ = await h.run(made)
        cost = await h.runs.get(result.run_id).cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert len(kept.caches) == 1
    assert {request.cache_key for _, _, request in h.script.requests} == {None}
    assert {request.system for _, _, request in h.script.requests} == {
        "You are 0.",
        "You are 1.",
        "You are 2.",
    }
    (entry,) = [a for a in cost.attempts if a.step.startswith(SHARED_UNIT)]
    assert entry.state == state
    assert not billing.differences(billing.make_bill(cost, made))


async def test_B19_a_busy_vendor_is_asked_again(
    server: LocalServer, tmp_path: Path, big: AttachedFile
) -> None:
    kept = Kept(upload_fails=[Overloaded("busy", status=503)])
    made = plan(team(agent("a", files=(big,))), file_tokens={"a": 9_000})
    async with keeping(server, tmp_path, kept) as h:
        result, _ = await h.run(made)
    assert result.status is WorkflowStatus.COMPLETED
    assert len(kept.uploads) == 2
    assert kept.deleted == ["file-2"]


@pytest.mark.slow
async def test_a_long_list_lends_what_is_shared_to_its_slices(
    server: LocalServer, tmp_path: Path, small: AttachedFile
) -> None:
    kept = Kept()
    made = shared_plan(small, agents=1)
    each = ForEachSpec(item="n", in_="inputs.numbers", max_parallel=20)
    (step,) = made.team.agents
    step = step.model_copy(update={"for_each": each, "prompt_template": "{n}?"})
    inputs = {"numbers": InputSpec(type="list")}
    spec = made.team.model_copy(update={"agents": (step,), "inputs": inputs})
    made = made.model_copy(update={"team": spec})
    async with keeping(server, tmp_path, kept, cached_workflows=10) as h:
        result, _ = await h.run(made, {"numbers": list(range(510))})
    assert result.status is WorkflowStatus.COMPLETED
    assert len(kept.caches) == 1
    assert {request.cache_key for _, _, request in h.script.requests} == {"cache-1"}
    assert kept.deleted == ["cache-1"]


async def test_texts_of_the_shared_context_are_texts(server: LocalServer, tmp_path: Path) -> None:
    notes = attach(tmp_path / "notes.md", b"Bees make honey.", "text/markdown")
    async with keeping(server, tmp_path, Kept(), made=RepeatingClient) as h:
        await h.run(shared_plan(notes, agents=1, cache=False))
    ((_, _, request),) = h.script.requests
    shared, own = request.messages
    assert shared.parts == (TextPart(text="notes.md:\nBees make honey."),)
    assert (own.content, request.system, request.cache_key) == ("Question 0?", "You are 0.", None)

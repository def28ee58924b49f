"""Agents in a team's shared context: it is in every call, cached once, never in what is kept."""

from pathlib import Path

import pytest

from contracts.messages import ChatRequest
from contracts.parts import FileInlinePart, FileRefPart
from contracts.plans import AgentForm
from contracts.sharing import SHARED_UNIT
from contracts.teams import WorkflowStatus
from providers.exceptions import AuthenticationFailed
from rules import billing, planning
from tests.support.attaching import BIG, PDF, attach
from tests.support.keeping import Kept, RepeatingClient, keeping
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.sharing_agents import shared_plan, turns

pytestmark = pytest.mark.integration


def asked(script: Script, unit: str) -> list[ChatRequest]:
    return [request for name, _, request in script.requests if name == unit]


async def test_every_call_begins_with_the_context_and_what_is_kept_has_none_of_it(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(turns(), default=Say("An answer."))
    small = attach(tmp_path / "rules.pdf", PDF)
    async with keeping(server, tmp_path, Kept(), script, RepeatingClient, tools=True) as h:
        made = shared_plan(tmp_path, small)
        result, steps = await h.run(made)
        assert result.status is WorkflowStatus.COMPLETED, steps
        cost = await h.runs.get(result.run_id).cost()
    (first,), (second,) = asked(script, "looks.1"), asked(script, "looks.2")
    for request in (first, second):
        shared, own, *_ = request.messages
        assert shared.parts == (
            FileInlinePart(data=PDF, mime_type="application/pdf", name="rules.pdf"),
        )
        assert own.content == "You are looks.\n\nlooks: what is it?"
        assert (request.system, request.cache_key) == (None, "cache-1")
    assert [m.role for m in second.messages] == ["user", "user", "assistant", "tool"]
    kept = steps["looks"].metadata["transcript"]
    assert isinstance(kept, dict)
    assert kept["size_bytes"] < 1_000
    assert not billing.differences(billing.make_bill(cost, made))


async def test_a_cache_of_its_own_name_serves_who_has_no_tools(
    server: LocalServer, tmp_path: Path
) -> None:
    kept, script = Kept(seconds=0.1), Script(turns(), default=Say("An answer."))
    big = attach(tmp_path / "report.pdf", BIG)
    async with keeping(server, tmp_path, kept, script, tools=True) as h:
        result, steps = await h.run(shared_plan(tmp_path, big, caching="named"))
        assert result.status is WorkflowStatus.COMPLETED, steps
        cost = await h.runs.get(result.run_id).cost()
    assert kept.uploads == [("report.pdf", BIG)]
    assert len(kept.caches) == 1
    (thought,) = asked(script, "thinks.1")
    assert (thought.cache_key, len(thought.messages), thought.system) == ("cache-1", 1, None)
    assert thought.messages[0].content == "You are thinks.\n\nthinks: what is it?"
    for unit in ("looks.1", "looks.2"):
        (looked,) = asked(script, unit)
        assert (looked.cache_key, looked.system) == (None, "You are looks.")
        assert looked.messages[0].parts == (
            FileRefPart(uri="file-1", mime_type="application/pdf", name="report.pdf"),
        )
    assert sorted(kept.deleted) == ["cache-1", "file-1"]
    assert [a.step for a in cost.attempts if a.step.startswith(SHARED_UNIT)] == [
        f"{SHARED_UNIT}[scripted gpt-4]"
    ]


async def test_B18_a_cache_that_is_gone_is_left_out_in_the_same_attempt(
    server: LocalServer, tmp_path: Path
) -> None:
    gone = AuthenticationFailed("CachedContent not found (or permission denied)", status=403)
    script = Script({**turns(), "thinks.1": [gone, Say("Of course.")]}, default=Say("An answer."))
    small = attach(tmp_path / "rules.pdf", PDF)
    async with keeping(server, tmp_path, Kept(), script, tools=True) as h:
        result, steps = await h.run(shared_plan(tmp_path, small, caching="named"))
        assert result.status is WorkflowStatus.COMPLETED, steps
        cost = await h.runs.get(result.run_id).cost()
    first, second = asked(script, "thinks.1")
    assert (first.cache_key, second.cache_key) == ("cache-1", None)
    assert [m.content for m in second.messages] == ["", "thinks: what is it?"]
    assert [a.number for a in cost.attempts if a.step == "thinks"] == [1]


async def test_who_goes_first_warms_for_those_of_the_same_form(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(
        {**turns(), "thinks.1": [Say("one two", seconds=1.0)]}, default=Say("An answer.")
    )
    small = attach(tmp_path / "rules.pdf", PDF)
    made = shared_plan(tmp_path, small)
    same = AgentForm(before=planning.nodes(made)[2].shared)
    made = made.model_copy(update={"agent_forms": {**made.agent_forms, "thinks": same}})
    async with keeping(server, tmp_path, Kept(), script, RepeatingClient, tools=True) as h:
        result, _ = await h.run(made)
        cost = await h.runs.get(result.run_id).cost()
    (thought,) = [a for a in cost.attempts if a.step == "thinks"]
    (said,) = [a for a in cost.attempts if a.step == "says"]
    early, late = sorted((thought, said), key=lambda a: a.started_at)
    assert early.first_token_at <= late.started_at

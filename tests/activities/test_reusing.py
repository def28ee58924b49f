"""An identical request's answer is taken from the store: which, for how long, at what cost."""

import dataclasses
from pathlib import Path

import pytest

from activities.reusing import KnownAnswers, request_key
from contracts.calls import ModelReply
from contracts.messages import ChatRequest, Message, Usage
from contracts.plans import Plan
from providers.exceptions import ServerFailed
from stores.artifacts import ArtifactStore
from stores.keys import artifact_key
from tests.activities.test_call_model import SCHEMA, Bench, bench
from tests.support.scripted import Say
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit

REQUEST = ChatRequest(messages=[Message("user", "Hello")], max_tokens=50)


async def twice(
    made: Bench, spec: Plan | None = None, **more: object
) -> tuple[ModelReply, ModelReply]:
    first = await made.call(spec, reuse_s=3600, **more)
    return first, await made.call(spec, reuse_s=3600, run_id="r2", attempt=2, **more)


async def text(made: Bench, reply: ModelReply) -> str:
    assert reply.output.ref is not None
    return await made.store.get_text(reply.output.ref)


async def test_the_second_answer_is_the_first_and_costs_nothing(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two"), Say("another"))
    first, second = await twice(made)
    assert made.script.count() == 1
    assert await text(made, second) == "one two"
    assert first.usage == Usage(100, 50)
    assert first.reused_from is None
    assert second.usage == Usage()
    assert second.reused_from == "r1/a#1"
    assert "reused from r1/a#1" in second.notes
    assert second.finish_reason == "stop"
    assert await made.spools.partial("r2", "a", 2) == "one two"
    sent = [beat for beat in made.beats if beat.phase == "sent"]
    assert len(sent) == 1


async def test_what_is_not_asked_for_is_not_reused(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two"), Say("another"))
    await made.call(reuse_s=3600)
    assert await text(made, await made.call(run_id="r2")) == "another"


async def test_other_parameters_are_another_request(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two"), Say("another"))
    await made.call(reuse_s=3600)
    assert (await made.call(reuse_s=3600, max_tokens=49)).reused_from is None
    assert made.script.count() == 2


async def test_a_structured_answer_is_reused_as_data(tmp_path: Path) -> None:
    made = bench(tmp_path, Say('{"n": 3}'))
    structured = plan(team(agent("a", output=SCHEMA)))
    _, second = await twice(made, structured, want_inline=True)
    assert second.output.inline == {"n": 3}
    assert made.script.count() == 1


async def test_a_failure_is_never_reused(tmp_path: Path) -> None:
    made = bench(tmp_path, ServerFailed("broken"), Say("one two"))
    await made.fail(reuse_s=3600)
    reply = await made.call(reuse_s=3600, attempt=2)
    assert reply.reused_from is None
    assert made.script.count() == 2


async def test_an_answer_that_does_not_fit_is_never_reused(tmp_path: Path) -> None:
    made = bench(tmp_path, Say('{"n": "x"}'), Say('{"n": 3}'))
    structured = plan(team(agent("a", output=SCHEMA)))
    await made.fail(structured, reuse_s=3600)
    assert (await made.call(structured, reuse_s=3600, attempt=2)).reused_from is None


async def test_a_cut_answer_is_never_reused(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two", finish="length"))
    _, second = await twice(made)
    assert second.reused_from is None
    assert made.script.count() == 2


async def test_an_answer_that_asks_for_tools_is_never_kept(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two", finish="tool_calls"))
    _, second = await twice(made)
    assert second.reused_from is None


async def test_its_time_runs_from_when_it_was_given(tmp_path: Path) -> None:
    made = bench(tmp_path)
    reply = await made.call()
    now = [1000.0]
    known = KnownAnswers(made.store, lambda: now[0])
    await known.keep("k", "r1/a#1", reply)
    now[0] = 1060.0
    assert await known.find("k", 60, want_inline=False) is not None
    now[0] = 1060.1
    assert await known.find("k", 60, want_inline=False) is None
    now[0] = 999.0  # another machine's clock is ahead: who knows how old it is
    assert await known.find("k", 60, want_inline=False) is None


async def test_an_answer_that_has_gone_from_the_store_is_asked_for_again(tmp_path: Path) -> None:
    made = bench(tmp_path, Say("one two"), Say("another"))
    first = await made.call(reuse_s=3600)
    assert first.output.ref is not None
    (tmp_path / "artifacts" / artifact_key(first.output.ref.sha256)).unlink()
    fresh = ArtifactStore.open(str(tmp_path / "artifacts"))  # which has nothing in memory
    later = Bench(tmp_path, made.script, broken=fresh)
    assert await text(later, await later.call(reuse_s=3600, run_id="r2")) == "another"


def test_the_key_is_what_decides_an_answer() -> None:
    own = request_key(candidate(), REQUEST)
    labelled = dataclasses.replace(REQUEST, metadata={"run": "r9"})
    assert request_key(candidate(), labelled) == own
    others = [
        request_key(candidate("other"), REQUEST),
        request_key(candidate(model="gpt-5"), REQUEST),
        request_key(candidate(options={"seed": 1}), REQUEST),
        request_key(candidate(), dataclasses.replace(REQUEST, temperature=0.5)),
        request_key(candidate(), dataclasses.replace(REQUEST, system="Be brief.")),
        request_key(candidate(), dataclasses.replace(REQUEST, messages=[Message("user", "Bye")])),
    ]
    assert len({own, *others}) == 7

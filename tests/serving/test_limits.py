"""Keys, limits and money over HTTP."""

import asyncio
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.agents import AgentBudget
from contracts.messages import Usage
from serving.callers import KeyRing, Limits, load_keys
from tests.serving.stage import Stage, events, served_agent, serving, stage
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

ALICE, BOB = "sk-callboard-alice-0001", "sk-callboard-bob-000001"
HELLO = [{"role": "user", "content": "Hello"}]


def ring(alice: Limits | None = None, **models: Limits) -> KeyRing:
    """Return the keys of two callers, with limits."""
    found = load_keys(f"alice:{ALICE},bob:{BOB}")
    keys = list(found.keys)
    if alice is not None:
        caller = keys[0].caller.__class__("alice", alice)
        keys[0] = keys[0].__class__(keys[0].digest, caller)
    return KeyRing(tuple(keys), models)


async def ask(
    on: Stage, key: str = ALICE, model: str = "tested", text: str = "Hello", **more: Any
) -> httpx2.Response:
    messages = [{"role": "user", "content": text}]
    body = {"model": model, "messages": messages, **more}
    headers = {"Authorization": f"Bearer {key}"}
    return await on.http.post("/v1/chat/completions", json=body, headers=headers)


async def test_without_the_right_key_nothing_is_told(server: LocalServer, tmp_path: Path) -> None:
    async with stage(server.address, tmp_path, None, keys=ring()) as on:
        addresses = [
            ("POST", "/v1/chat/completions"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/tested"),
            ("GET", "/sessions"),
            ("POST", "/sessions"),
            ("GET", "/sessions/x"),
            ("DELETE", "/sessions/x"),
            ("GET", "/sessions/x/messages"),
            ("POST", "/sessions/x/messages"),
            ("POST", "/sessions/x/tools/y"),
            ("POST", "/sessions/x/stop"),
        ]
        for method, path in addresses:
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": ALICE}):
                answer = await on.http.request(method, path, headers=header)
                assert answer.status_code == 401, (method, path)
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert ALICE not in answer.text
        assert (await on.http.get("/healthz")).json() == {"status": "ok"}
        assert (await on.http.get("/readyz")).json() == {"status": "ready"}
        assert (await ask(on)).status_code == 200
        assert (await ask(on, "wrong")).status_code == 401


async def test_C24_sessions_are_their_owners_own(server: LocalServer, tmp_path: Path) -> None:
    alice = {"Authorization": f"Bearer {ALICE}"}
    bob = {"Authorization": f"Bearer {BOB}"}
    id = f"mine-{uuid.uuid4()}"
    async with stage(server.address, tmp_path, None, keys=ring()) as on:
        begun = await on.http.post("/sessions", json={"agent": "tested", "id": id}, headers=alice)
        assert begun.status_code == 201
        assert (await on.http.get(f"/sessions/{id}", headers=bob)).status_code == 404
        assert (await on.http.delete(f"/sessions/{id}", headers=bob)).status_code == 404
        listed = (await on.http.get("/sessions", headers=bob)).json()["data"]
        assert id not in [one["id"] for one in listed]
        own = await on.http.post("/sessions", json={"agent": "tested", "id": id}, headers=bob)
        assert own.status_code == 201


async def test_A26_a_models_requests_are_counted_for_all_callers_together(
    server: LocalServer, tmp_path: Path
) -> None:
    agents = (served_agent("one"), served_agent("two"))
    keys = ring(one=Limits(requests_per_minute=3))
    async with stage(server.address, tmp_path, None, *agents, keys=keys) as on:
        codes = [(await ask(on, key, "one")).status_code for key in (ALICE, BOB, ALICE)]
        refused = await ask(on, BOB, "one")
        other = await ask(on, BOB, "two")
    assert codes == [200, 200, 200]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert other.status_code == 200
    assert on.script.count() == 4


async def test_A27_tokens_over_http(server: LocalServer, tmp_path: Path) -> None:
    keys = ring(Limits(tokens_per_minute=1))
    async with stage(server.address, tmp_path, None, keys=keys) as on:
        both = [(await ask(on)).status_code for _ in range(2)]
        assert both == [200, 429]
    async with stage(server.address, tmp_path, None, keys=keys) as on:
        five = await asyncio.gather(*(ask(on) for _ in range(5)))
    assert sorted(answer.status_code for answer in five) == [200, 429, 429, 429, 429]


@pytest.mark.parametrize("held", [0, 39])
async def test_A28_tokens_that_are_used_up_in_mid_stream_end_it_without_done(
    server: LocalServer, tmp_path: Path, held: int
) -> None:
    """At once: the vendor's count crosses it. Held: what was written does, and it is stopped."""
    text = " ".join(["word"] * 40)
    script = Script(default=Say(text, held=held, usage=Usage(10, 40)))
    keys = ring(Limits(tokens_per_minute=20))
    headers = {"Authorization": f"Bearer {ALICE}"}
    async with stage(server.address, tmp_path, script, keys=keys) as on:
        begun = await on.http.post("/sessions", json={"agent": "tested"}, headers=headers)
        path = f"/sessions/{begun.json()['id']}/messages"
        said = {"json": {"content": "Hi", "stream": True}, "headers": headers}
        async with asyncio.timeout(30), on.http.stream("POST", path, **said) as answer:
            assert answer.status_code == 200
            told = [one async for one in events(answer)]
        assert told[-1].name == "error"
        assert told[-1].data["code"] == "token_budget_exceeded"
        assert "done" not in [one.name for one in told]
        refused = await on.http.post(path, json={"content": "Hi"}, headers=headers)
        assert refused.status_code == 429


async def test_A28_in_openais_protocol(server: LocalServer, tmp_path: Path) -> None:
    script = Script(default=Say("word " * 40, usage=Usage(10, 40)))
    keys = ring(Limits(tokens_per_minute=20))
    async with stage(server.address, tmp_path, script, keys=keys) as on:
        body = {"model": "tested", "messages": HELLO, "stream": True}
        headers = {"Authorization": f"Bearer {ALICE}"}
        sent = on.http.stream("POST", "/v1/chat/completions", json=body, headers=headers)
        async with sent as answer:
            told = [one.data async for one in events(answer)]
    assert told[-1]["error"]["code"] == "token_budget_exceeded"
    assert "[DONE]" not in told


async def test_money_of_a_key_is_never_passed(server: LocalServer, tmp_path: Path) -> None:
    """An answer costs 0.006; before it is known, three calls at their dearest are held."""
    keys = ring(Limits(usd_per_day=Decimal("0.05")))
    async with stage(server.address, tmp_path, None, keys=keys) as on:
        answers = []
        for _ in range(9):
            answers.append(await ask(on))
            await on.settled()
        spent = await on.gateway.accounts.spent("alice")
    codes = [answer.status_code for answer in answers]
    assert 200 in codes
    assert 429 in codes
    assert codes == sorted(codes)
    assert spent == Decimal("0.006") * codes.count(200) <= Decimal("0.05")
    last = answers[-1].json()["error"]
    assert last["code"] == "insufficient_quota"
    assert "usd_per_day" in last["message"]
    assert on.script.count() == codes.count(200)


async def test_money_at_once_is_held_before_it_is_spent(
    server: LocalServer, tmp_path: Path
) -> None:
    keys = ring(Limits(usd_total=Decimal("0.05")))
    script = Script(default=Say("An answer.", seconds=0.3))
    async with stage(server.address, tmp_path, script, keys=keys) as on:
        answers = await asyncio.gather(*(ask(on) for _ in range(12)))
        await on.settled()
        spent = await on.gateway.accounts.spent("alice")
    served = sum(answer.status_code == 200 for answer in answers)
    assert served >= 1
    assert {answer.status_code for answer in answers} == {200, 429}
    assert spent == Decimal("0.006") * served <= Decimal("0.05")


async def test_a_sessions_turn_needs_all_that_it_may_cost(
    server: LocalServer, tmp_path: Path
) -> None:
    keys = ring(Limits(usd_per_day=Decimal("0.105")))
    budget = AgentBudget(session=Decimal(1), turn=Decimal("0.1"))
    headers = {"Authorization": f"Bearer {ALICE}"}
    opened = stage(server.address, tmp_path, None, served_agent(budget=budget), keys=keys)
    async with opened as on:
        begun = await on.http.post("/sessions", json={"agent": "tested"}, headers=headers)
        path = f"/sessions/{begun.json()['id']}/messages"
        first = await on.http.post(path, json={"content": "Hi"}, headers=headers)
        await on.settled()
        second = await on.http.post(path, json={"content": "Hi"}, headers=headers)
    assert (first.status_code, second.status_code) == (200, 429)
    assert "$0.099 is left, the request may cost $0.1" in second.json()["error"]["message"]


async def test_a_restart_in_mid_answer_forgets_no_cent(server: LocalServer, tmp_path: Path) -> None:
    """The caller hangs up, the server ends, the answer goes on: the next one asks what it cost."""
    script = Script(default=Say("one two three four", held=1))
    limits, path = ring(Limits(usd_total=Decimal(1))), tmp_path / "serving.db"
    body = {"model": "tested", "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {ALICE}"}
    async with harness(server.address, tmp_path, script, cached_workflows=20) as h:
        async with serving(h, [served_agent()], limits, path) as on:
            sent = on.http.stream("POST", "/v1/chat/completions", json=body, headers=headers)
            async with sent as answer:
                async for one in events(answer):
                    if one.data["choices"][0]["delta"].get("content"):
                        break
            held = await on.gateway.accounts.spent("alice")
        assert script.in_flight == 1
        async with serving(h, [served_agent()], limits, path) as on:
            script.go.set()
            await on.settled()
            spent = await on.gateway.accounts.spent("alice")
    assert held > Decimal("0.006")
    assert spent == Decimal("0.006")
    assert script.count() == 1


async def test_what_an_agent_may_cost_in_a_turn_holds_here_too(
    server: LocalServer, tmp_path: Path
) -> None:
    budget = AgentBudget(session=Decimal("0.001"), turn=Decimal("0.001"))
    async with stage(server.address, tmp_path, None, served_agent(budget=budget)) as on:
        answer = await on.http.post(
            "/v1/chat/completions", json={"model": "tested", "messages": HELLO}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert on.script.count() == 0


async def test_a_key_asks_only_its_models(server: LocalServer, tmp_path: Path) -> None:
    found = load_keys(f"alice:{ALICE}").keys[0]
    caller = found.caller.__class__("alice", models=frozenset({"one"}))
    keys = KeyRing((found.__class__(found.digest, caller),))
    agents = (served_agent("one"), served_agent("two"))
    headers = {"Authorization": f"Bearer {ALICE}"}
    async with stage(server.address, tmp_path, None, *agents, keys=keys) as on:
        refused = [
            await ask(on, model="two"),
            await on.http.post("/sessions", json={"agent": "two"}, headers=headers),
            await on.http.get("/v1/models/two", headers=headers),
        ]
        listed = (await on.http.get("/v1/models", headers=headers)).json()["data"]
        assert (await ask(on, model="one")).status_code == 200
    assert {answer.status_code for answer in refused} == {403}
    assert [one["id"] for one in listed] == ["one"]

"""The Quality Fabric client against a service on loopback, and against none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from client.quality import (
    QualityFabricClient,
    QualityFabricError,
    TestResult,
    TestSuite,
)
from tests.wire.server import Reply, Request, WireServer, closed_port

pytestmark = pytest.mark.integration

KEY = "qf-0123456789abcdef"
GATES = {"success_rate": {"threshold": 60.0, "operator": ">="}}
SUITE = TestSuite(
    "smoke",
    [
        TestResult("a", "passed", 10),
        TestResult("b", "passed", 20),
        TestResult("c", "failed", 30, "expected 3"),
    ],
)


def answer(body: Any, status: int = 200) -> Reply:
    return Reply((json.dumps(body).encode(),), status, {"content-type": "application/json"})


class Service:
    """Keeps suites and tells their metrics, as the protocol says."""

    def __init__(self, **configured: Any) -> None:
        self.suites: dict[str, dict[str, Any]] = {}
        self.configured = configured

    def __call__(self, request: Request) -> Reply:
        if request.method == "POST":
            self.suites["qf-1"] = request.json
            return answer({"suite_id": "qf-1"}, 201)
        suite = self.suites.get(request.path.split("/")[-2])
        if suite is None:
            return answer({"error": "unknown suite"}, 404)
        return answer({"metrics": suite["metrics"], **self.configured})


async def check(service: Callable[[Request], Reply] | Reply, **options: Any) -> Any:
    async with WireServer(service) as server:
        client = QualityFabricClient("your-service", server.url, **options)
        return await client.check_quality_gates(await client.submit_test_suite(SUITE))


async def test_a_suite_is_submitted_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    async with WireServer(service) as server:
        monkeypatch.setenv("EP_QUALITY_FABRIC_URL", server.url + "/api/v1/")
        monkeypatch.setenv("EP_QUALITY_FABRIC_API_KEY", KEY)
        client = QualityFabricClient(project="your service", gates=GATES)
        suite_id = await client.submit_test_suite(SUITE)
        report = await client.check_quality_gates(suite_id)
    assert suite_id == report.suite_id == "qf-1"
    assert report.passed
    assert report.gates[0].value == pytest.approx(66.67, abs=0.01)
    assert [f"{r.method} {r.path}" for r in server.requests] == [
        "POST /api/v1/projects/your%20service/suites",
        "GET /api/v1/projects/your%20service/suites/qf-1/gates",
    ]
    assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in server.requests)
    sent = service.suites["qf-1"]
    assert sent["name"] == "smoke"
    assert sent["results"][2] == {
        "name": "c",
        "status": "failed",
        "duration_ms": 30,
        "message": "expected 3",
    }
    assert sent["metrics"]["average_duration"] == 20


async def test_the_services_gates_hold_where_the_client_has_none() -> None:
    strict = {"quality_gates": {"success_rate": {"threshold": 99.0, "operator": ">="}}}
    assert (await check(Service(**strict))).status == "failed"
    assert (await check(Service(**strict), gates=GATES)).status == "passed"
    odd = {"quality_gates": {"success_rate": {"threshold": 99.0, "operator": "~"}}}
    report = await check(Service(**odd))
    assert report.status == "error"
    assert "success_rate.operator" in report.error


async def test_a_verdict_without_numbers_is_not_believed() -> None:
    report = await check(answer({"status": "passed", "passed": True}), gates=GATES)
    assert report.status == "error"
    assert (await check(answer({"status": "passed"}))).status == "error"


async def test_A32_an_unreachable_service_is_no_pass() -> None:
    async with closed_port() as url:
        client = QualityFabricClient("your-service", url, KEY, GATES)
        report = await client.check_quality_gates("qf-1")
        assert report.status == "unavailable"
        assert not report.passed
        assert "EP_QUALITY_FABRIC_URL" in report.error
        with pytest.raises(QualityFabricError, match="cannot be reached"):
            await client.submit_test_suite(SUITE)


async def test_without_an_address_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EP_QUALITY_FABRIC_URL", raising=False)
    client = QualityFabricClient("your-service", gates=GATES)
    report = await client.check_quality_gates("qf-1")
    assert report.status == "unavailable"
    assert "set EP_QUALITY_FABRIC_URL" in report.error


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer({}, 500), "status 500"),
        (answer({}, 401), "EP_QUALITY_FABRIC_API_KEY"),
        (Reply((b"<html>",)), "no JSON object"),
        (Reply((b"[]",)), "no JSON object"),
        (Reply((b'{"metrics"',), end="reset"), "cannot be reached"),
        (Reply(silent=True), "cannot be reached"),
    ],
)
async def test_a_service_that_does_not_answer_is_no_pass(reply: Reply, told: str) -> None:
    async with WireServer(reply) as server:
        client = QualityFabricClient("your-service", server.url, KEY, GATES)
        report = await client.check_quality_gates("../qf/1")
    assert report.status == "unavailable"
    assert told in report.error
    assert KEY not in report.error
    assert server.requests[0].path == "/projects/your-service/suites/..%2Fqf%2F1/gates"


async def test_a_slow_service_is_no_pass() -> None:
    from tests.wire.server import Stall

    async with WireServer(Reply((Stall(),), silent=True)) as server:
        client = QualityFabricClient("your-service", server.url, gates=GATES, timeout=0.1)
        report = await client.check_quality_gates("qf-1")
    assert report.status == "unavailable"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"base_url": "localhost:1"}, "base_url"),
        ({"api_key": "two words"}, "white space"),
        ({"project": " "}, "project"),
        ({"gates": {"x": {}}}, "threshold"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        QualityFabricClient(**{"project": "p", **options})

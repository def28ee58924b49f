"""Quality Fabric (seed 001): submit test suites, ask whether they pass the quality gates.

```python
quality = QualityFabricClient(project="your-service", gates="quality_gates.yaml")
suite_id = await quality.submit_test_suite(suite)
report = await quality.check_quality_gates(suite_id)
```

The service's protocol is JSON over HTTP, below the address in EP_QUALITY_FABRIC_URL:

- `POST /projects/{project}/suites` takes a suite with its metrics and results, and may answer
  with another `suite_id`;
- `GET /projects/{project}/suites/{suite_id}/gates` answers with `metrics`, and with
  `quality_gates` where they are configured in the service.

The verdict is computed here, from the metrics, by the client's gates or else by the service's.
Whatever goes wrong on the way is a verdict other than "passed". Success and error rates are
percentages of the tests that ran, durations milliseconds.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import orjson

from client.quality_gates import (
    Gate,
    GateError,
    GateReport,
    GateResult,
    Gates,
    GateSource,
    evaluate_gates,
    read_gates,
)
from providers.keys import find_key, find_url, is_loopback
from providers.tls import tls_context

__all__ = [
    "Gate",
    "GateError",
    "GateReport",
    "GateResult",
    "QualityFabricClient",
    "QualityFabricError",
    "TestResult",
    "TestSuite",
    "evaluate_gates",
    "read_gates",
]

URL = "EP_QUALITY_FABRIC_URL"
KEY = "EP_QUALITY_FABRIC_API_KEY"


class QualityFabricError(Exception):
    """The service could not be asked, or did not do as it should; the text names the cure."""


@dataclass
class TestResult:
    """How one test came out; it took `duration_ms` milliseconds."""

    __test__ = False

    name: str
    status: Literal["passed", "failed", "error", "skipped"]
    duration_ms: float = 0.0
    message: str = ""

    def __post_init__(self) -> None:
        if self.status not in ("passed", "failed", "error", "skipped"):
            raise ValueError(
                f"status must be passed, failed, error or skipped, not {self.status!r}"
            )
        if not 0 <= self.duration_ms < math.inf:
            raise ValueError(f"duration_ms must not be negative, but is {self.duration_ms!r}")


@dataclass
class TestSuite:
    """Test results under a name. Tests that were skipped count in no rate."""

    __test__ = False

    name: str
    results: list[TestResult] = field(default_factory=list)
    suite_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def count(self, *statuses: str) -> int:
        """Return how many tests came out so."""
        return sum(result.status in statuses for result in self.results)

    @property
    def total(self) -> int:
        """The number of tests that ran."""
        return len(self.results) - self.count("skipped")

    @property
    def success_rate(self) -> float:
        """Percentage of the tests that passed; 0.0 where none ran."""
        return 100 * self.count("passed") / self.total if self.total else 0.0

    @property
    def error_rate(self) -> float:
        """Percentage of the tests that failed or broke; 0.0 where none ran."""
        return 100 * self.count("failed", "error") / self.total if self.total else 0.0

    @property
    def average_duration(self) -> float:
        """Milliseconds per test; 0.0 where none ran."""
        ran = [result.duration_ms for result in self.results if result.status != "skipped"]
        return math.fsum(ran) / len(ran) if ran else 0.0

    def metrics(self) -> dict[str, float]:
        """Return the numbers that gates are held against."""
        return {
            "total": self.total,
            "passed": self.count("passed"),
            "failed": self.count("failed", "error"),
            "skipped": self.count("skipped"),
            "success_rate": self.success_rate,
            "error_rate": self.error_rate,
            "average_duration": self.average_duration,
        }


class QualityFabricClient:
    """One project's client of a Quality Fabric service.

    `base_url` defaults to EP_QUALITY_FABRIC_URL, `api_key` to EP_QUALITY_FABRIC_API_KEY (sent as
    a bearer token; none is needed for a service without accounts). `gates`, a mapping or a YAML
    file, go before those configured in the service. `timeout` is in seconds, for one request.
    Raises `ValueError` for an address or key that cannot be, `GateError` for gates.
    """

    def __init__(
        self,
        project: str,
        base_url: str | None = None,
        api_key: str | None = None,
        gates: GateSource | None = None,
        timeout: float = 10.0,
    ) -> None:
        if not project.strip():
            raise ValueError("project must not be empty")
        self.project = project
        self.gates: Gates | None = None if gates is None else read_gates(gates)
        self._url = (find_url(base_url, [URL]) or "").rstrip("/")
        self._key = find_key(api_key, [KEY], "quality fabric")
        self._timeout = timeout

    async def submit_test_suite(self, suite: TestSuite) -> str:
        """Send a suite; return the id under which its gates can be checked.

        Raises `QualityFabricError` if the service did not take it.
        """
        results = [asdict(result) for result in suite.results]
        answer = await self._ask(
            "POST",
            "suites",
            {
                "suite_id": suite.suite_id,
                "name": suite.name,
                "metrics": suite.metrics(),
                "results": results,
            },
        )
        return str(answer.get("suite_id") or suite.suite_id)

    async def check_quality_gates(self, suite_id: str) -> GateReport:
        """Return how a suite came out. Never raises: without an answer it is "unavailable"."""
        try:
            answer = await self._ask("GET", f"suites/{quote(suite_id, safe='')}/gates")
        except QualityFabricError as error:
            return GateReport(suite_id, "unavailable", error=str(error))
        metrics = answer.get("metrics")
        try:
            gates = self.gates if self.gates is not None else _configured(answer)
        except GateError as error:
            return GateReport(suite_id, "error", error=f"the service's gates: {error}")
        return evaluate_gates(suite_id, metrics if isinstance(metrics, dict) else {}, gates)

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if not self._url:
            raise QualityFabricError(f"no Quality Fabric service is named: set {URL}")
        url = f"{self._url}/projects/{quote(self.project, safe='')}/{path}"
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            async with httpx2.AsyncClient(
                timeout=self._timeout,
                verify=tls_context(),
                headers=headers,
                trust_env=not is_loopback(self._url),
            ) as client:
                response = await client.request(method, url, json=body)
        except httpx2.HTTPError as error:
            raise QualityFabricError(
                f"the Quality Fabric service cannot be reached ({type(error).__name__}); "
                f"check {URL}"
            ) from None
        return _understood(response)


def _understood(response: httpx2.Response) -> dict[str, Any]:
    if not response.is_success:
        cure = f"; check {KEY}" if response.status_code in (401, 403) else f"; check {URL}"
        raise QualityFabricError(
            f"the Quality Fabric service answered with status {response.status_code}{cure}"
        )
    if not response.content:
        return {}
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise QualityFabricError(
            f"the Quality Fabric service's answer is no JSON object; check {URL}"
        )
    return answer


def _configured(answer: Mapping[str, Any]) -> Gates:
    written = answer.get("quality_gates")
    return read_gates(written) if isinstance(written, dict) else {}

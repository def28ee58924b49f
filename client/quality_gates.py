"""Quality gates: what a test suite's numbers must reach, and whether they do.

Pure, apart from reading the file of gates. Deny by default: a metric that is missing or no
number, and a check without any gate, is an error and never a pass; an operator that is not known
is refused when the gates are read.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from providers.exceptions import RouterError
from providers.yamlfiles import load_model

Operator = Literal[">=", "<=", ">", "<", "==", "!="]
Status = Literal["passed", "failed", "error", "unavailable"]

_COMPARE: dict[Operator, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


class GateError(ValueError):
    """The gates themselves are wrong; the text names the gate and what it may hold."""


class Gate(BaseModel):
    """One condition: the metric's value, the operator, the threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(allow_inf_nan=False)]
    operator: Operator


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    quality_gates: dict[str, Gate]


Gates = Mapping[str, Gate]
GateSource = Mapping[str, Any] | str | Path
"""Gates as a mapping (with or without the key `quality_gates`), or the path of a YAML file."""


@dataclass(frozen=True)
class GateResult:
    """How one gate came out. `value` None: the metric is not there."""

    metric: str
    status: Status
    value: float | None
    threshold: float
    operator: str

    def __str__(self) -> str:
        """Tell the result in one line."""
        value = "missing" if self.value is None else f"{self.value:g}"
        return f"{self.metric}: {self.status} ({value}, wanted {self.operator} {self.threshold:g})"


@dataclass(frozen=True)
class GateReport:
    """How all gates of a suite came out.

    `status` is "passed" only if there are gates and every one of them passed; "unavailable" where
    the service did not answer. `error` says why there is no verdict, and what to do.
    """

    suite_id: str
    status: Status
    gates: tuple[GateResult, ...] = ()
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return self.status == "passed"


def read_gates(source: GateSource) -> dict[str, Gate]:
    """Return gates from a mapping or a YAML file. Raises `GateError`."""
    if isinstance(source, str | Path):
        try:
            return load_model(Path(source), _File).quality_gates
        except RouterError as error:
            raise GateError(str(error)) from None
    written = source.get("quality_gates", source)
    if isinstance(written, Mapping):
        written = {
            name: gate.model_dump() if isinstance(gate, Gate) else gate
            for name, gate in written.items()
        }
    try:
        return _File.model_validate({"quality_gates": written}).quality_gates
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise GateError(told) from None


def evaluate_gates(suite_id: str, metrics: Mapping[str, Any], gates: Gates) -> GateReport:
    """Hold a suite's metrics against its gates."""
    if not gates:
        return GateReport(suite_id, "error", error="there are no gates to hold the suite against")
    results = tuple(_result(name, metrics.get(name), gate) for name, gate in gates.items())
    missing = [result.metric for result in results if result.status == "error"]
    if missing:
        known = ", ".join(sorted(metrics)) or "none"
        told = f"no number is known for {', '.join(missing)} (metrics: {known})"
        return GateReport(suite_id, "error", results, told)
    passed = all(result.status == "passed" for result in results)
    return GateReport(suite_id, "passed" if passed else "failed", results)


def _result(name: str, value: Any, gate: Gate) -> GateResult:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return GateResult(name, "error", None, gate.threshold, gate.operator)
    fits = _COMPARE[gate.operator](value, gate.threshold)
    status: Status = "passed" if fits else "failed"
    return GateResult(name, status, float(value), gate.threshold, gate.operator)

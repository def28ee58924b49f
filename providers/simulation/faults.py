"""The simulator's settings, and the faults that it produces on demand.

A fault applies to the requests that its `agent`, `model` (globs), `attempt` and `run` match, and
to the first `times` of them. The first fault in the list that applies is produced. Settings are
read from YAML, or travel as the JSON `options` of a run's candidate.
"""

from collections import OrderedDict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.messages import ChatRequest
from providers.yamlfiles import load_model

Seconds = Annotated[float, Field(ge=0)]

FaultKind = Literal[
    "cut",
    "refuse",
    "rate_limit",
    "overloaded",
    "server_error",
    "unreachable",
    "auth",
    "invalid_request",
    "context_too_long",
    "model_not_found",
    "stall_first",
    "stall",
    "slow",
    "no_usage",
    "wrong_json",
    "empty",
]


class Fault(BaseModel):
    """One way to fail, and for whom.

    - cut: the stream ends after `after_words` (default: half the answer) with no terminal marker
    - refuse, rate_limit, overloaded, server_error, unreachable, auth, invalid_request,
      context_too_long, model_not_found: the error of that name, before the answer, or in it after
      `after_words`; rate_limit and overloaded tell `retry_after` (seconds) where it is set
    - stall_first, stall: `seconds` (default: an hour) of silence before the first word, or after
      `after_words` (default: half)
    - slow: the pace divided by `factor`
    - no_usage: the vendor does not report the usage
    - wrong_json: a structured answer that does not fit its schema
    - empty: a finished answer without a word

    `times` counts per run, in one process; per client where the request names no run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    agent: str | None = None
    model: str | None = None
    attempt: Annotated[int | None, Field(ge=1)] = None
    run: str | None = None
    after_words: Annotated[int | None, Field(ge=0)] = None
    seconds: Seconds = 3600.0
    factor: Annotated[float, Field(gt=0)] = 10.0
    retry_after: Seconds | None = None
    times: Annotated[int | None, Field(ge=1)] = None

    def matches(self, request: ChatRequest, model: str) -> bool:
        """Tell whether a request is one of those that the fault is for."""
        labels = request.metadata
        return (
            (self.agent is None or fnmatchcase(labels.get("agent", ""), self.agent))
            and (self.model is None or fnmatchcase(model, self.model))
            and (self.attempt is None or labels.get("attempt") == str(self.attempt))
            and (self.run is None or fnmatchcase(labels.get("run", ""), self.run))
        )


class Simulation(BaseModel):
    """Settings of the simulated provider.

    `tokens_per_second` 0 means as fast as possible. `first_token_s` is the time to the first
    word. `log` names a file that gets one JSON line per request received, before it is answered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    tokens_per_second: Seconds = 60.0
    first_token_s: Seconds | None = None
    faults: tuple[Fault, ...] = ()
    log: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> "Simulation":
        """Read settings from a YAML file. Raises `RouterError` naming the file and the line."""
        return load_model(Path(path), cls)

    def options(self) -> dict[str, Any]:
        """Return the settings as the JSON options of a candidate."""
        return self.model_dump(mode="json", exclude_defaults=True)


_REMEMBERED_RUNS = 10_000
_produced: OrderedDict[tuple[str, Fault], int] = OrderedDict()


class FaultCount:
    """Chooses the fault of a request and counts how often each was produced."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._own: OrderedDict[tuple[str, Fault], int] = OrderedDict()

    def choose(self, request: ChatRequest, model: str) -> Fault | None:
        """Return the fault to produce for a request, and count it."""
        run = request.metadata.get("run", "")
        produced = _produced if run else self._own
        for fault in self._faults:
            key = (run, fault)
            if fault.matches(request, model) and produced.get(key, 0) < (fault.times or 2**63):
                produced[key] = produced.get(key, 0) + 1
                while len(produced) > _REMEMBERED_RUNS:
                    produced.popitem(last=False)
                return fault
        return None

"""From an executed plan to what its caller asked for: answers, data, money, time.

Judges and never repairs: an answer that does not fit its schema is shown with what is wrong.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

from client.execution.telemetry import Collector, Reporter
from contracts.base import Json
from contracts.execution import (
    APICall,
    CallResult,
    Failure,
    FinalizedCommand,
    Spent,
    Strict,
    Telemetry,
    TokenValidation,
)
from contracts.messages import Usage
from contracts.prices import Price
from providers.pricing import UnknownPrice, quote
from rules import prices
from rules.batches import answers_of
from rules.jsonanswers import read_json

Quote = Callable[[str, str], Price | None]
"""From provider and model to a price, or None where none is known."""


class Metrics(Strict):
    """Sums over all calls. `cost_usd` is None where a price is not known.

    Failed requests count with what the vendor reported of them.
    """

    calls: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    cost_usd: Decimal | None = None


class ExecutionResult(Strict):
    """What came of an execution.

    `answers` are texts, one per prompt, in order; that of a failed call is "" and its reason is
    in `failures` by the same index. `data` is the parsed JSON where a schema or JSON was asked
    for, and `schema_errors` tell what does not fit. `ok`: every prompt has an answer that fits.
    """

    ok: bool
    answers: tuple[str, ...] = ()
    data: tuple[Json, ...] = ()
    failures: dict[int, str] = {}
    schema_errors: dict[int, tuple[str, ...]] = {}
    error: str | None = None
    used_fallback: bool = False
    metrics: Metrics = Metrics()
    token_validation: TokenValidation | None = None
    diagnostics: tuple[str, ...] = ()
    telemetry: Telemetry | None = None
    spent: Spent | None = None

    @property
    def answer(self) -> str:
        """The first answer."""
        return self.answers[0] if self.answers else ""


def table_price(provider: str, model: str) -> Price | None:
    """Return today's price by the bundled table."""
    try:
        return quote(provider, model, datetime.now(UTC).date())
    except UnknownPrice:
        return None


class ResultBuilder:
    """Builds results. `telemetry` as for the handler; `price` looks prices up."""

    def __init__(self, *, telemetry: Reporter | bool = True, price: Quote = table_price) -> None:
        self._on = telemetry is not False
        self._reporter = None if isinstance(telemetry, bool) else telemetry
        self._price = price

    def handle(self, command: FinalizedCommand | Failure) -> ExecutionResult:
        """Return the result of an executed plan; a failure is a result that is not ok."""
        collector = Collector(self._reporter, on=self._on)
        with collector.measure("ResultBuilder"):
            if isinstance(command, Failure):
                result = ExecutionResult(
                    ok=False,
                    error=command.message,
                    diagnostics=command.diagnostics,
                    spent=command.spent,
                )
            else:
                result = self._built(command)
        return result.model_copy(update={"telemetry": collector.telemetry(command.telemetry)})

    def _built(self, command: FinalizedCommand) -> ExecutionResult:
        answers: list[str] = []
        data: list[Json] = []
        failures: dict[int, str] = {}
        wrong: dict[int, tuple[str, ...]] = {}
        for call, result in zip(command.planned.plan.calls, command.results, strict=True):
            at = len(answers)
            if result.failure is not None:
                failures |= {at + n: result.failure.message for n in range(call.questions)}
                answers += [""] * call.questions
                data += [None] * call.questions
                continue
            answers += answers_of(result.text, call.questions)
            values, errors = _data(call, result)
            data += values
            if errors:
                wrong[at] = errors
        return ExecutionResult(
            ok=not failures and not wrong,
            answers=tuple(answers),
            data=tuple(data),
            failures=failures,
            schema_errors=wrong,
            error=next(iter(failures.values()), None),
            used_fallback=command.used_fallback,
            metrics=self._metrics(command.results),
            token_validation=command.token_validation,
            diagnostics=command.diagnostics,
            spent=command.spent,
        )

    def _metrics(self, results: Iterable[CallResult]) -> Metrics:
        results = tuple(results)
        spent = [found for result in results for found in _spent(result)]
        return Metrics(
            calls=len(results),
            failed=sum(result.failure is not None for result in results),
            retries=sum(result.retries for result in results),
            prompt_tokens=sum(usage.prompt_tokens for _, _, usage in spent),
            completion_tokens=sum(usage.completion_tokens for _, _, usage in spent),
            cached_tokens=sum(usage.cached_tokens for _, _, usage in spent),
            total_tokens=sum(usage.total_tokens for _, _, usage in spent),
            cost_usd=self._cost(spent),
        )

    def _cost(self, spent: list[tuple[str, str, Usage]]) -> Decimal | None:
        total = Decimal(0)
        for provider, model, usage in spent:
            price = self._price(provider, model)
            if price is None:
                return None
            total += prices.cost(price, usage)
        return total


def _spent(result: CallResult) -> list[tuple[str, str, Usage]]:
    """Return what is known to have been used for a call: its answer's, its failed tries'."""
    found = [(error.provider, error.model, error.usage) for error in result.tries]
    found.append((result.provider, result.model, result.usage))
    return [(provider, model, usage) for provider, model, usage in found if usage is not None]


def _data(call: APICall, result: CallResult) -> tuple[list[Json], tuple[str, ...]]:
    """Return the parsed answers of a call, and what is wrong with them."""
    settings = call.settings
    wanted = settings.response_schema is not None or settings.json_mode
    if not wanted or (result.tool_calls and not result.text):
        return [None] * call.questions, ()
    value, errors = read_json(result.text, settings.response_schema)
    if call.questions > 1 and isinstance(value, list):
        padded = [*value, *([None] * call.questions)]
        return padded[: call.questions], errors
    return [value, *([None] * (call.questions - 1))], errors

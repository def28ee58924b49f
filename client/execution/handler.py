"""Executes plans (seed 002's API Handler): uploads, cache, generation, fallback.

A client object is asked in this process. A registered provider's name makes every step durable:
the execution is a workflow, its uploads, caches and requests are activities of the provider's
worker, and what was done is not done again when a worker is lost.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from client.execution.building import table_price
from client.execution.caches import CacheRegistry
from client.execution.direct import DirectEffects, NamedEffects, Sleep
from client.execution.money import Quote, budget_of, money_of
from client.execution.planning import OptionsError
from client.execution.telemetry import Collector, Reporter
from contracts.execution import (
    ExecutionPlan,
    Failure,
    FinalizedCommand,
    PlannedCommand,
    TokenEstimate,
)
from contracts.execution_calls import ExecutionOutcome, ExecutionRequest, GenerateCall
from providers import executing
from providers.spi import CAPABILITIES, TokenCounting
from rules.execution import validate_tokens
from workflows.executing import Execution

if TYPE_CHECKING:
    from client.runs import Runs

PROVIDER = "custom"
"""What a client object is called that does not say its provider's name."""


class APIHandler:
    """Executes plans with one provider, and with those that their fallback plans name.

    `provider`: a client object, or the name of a registered provider; then `runs` (of
    `client.runs`) says on which server, by default the configured one. `providers` are further
    client objects by name. `capabilities` switch some on or off ({"uploads": False}).
    `telemetry`: False measures nothing, a `Reporter` is told each duration. `effects` serve the
    named effects of stages of your own, in this process. `concurrency` and `budget` (dollars, never
    passed) are for plans that do not say; `price` looks prices up. `sleep`, `dice` and `clock` are
    for tests.

    Raises `OptionsError` for a capability that there is not, `TypeError` for a client that
    cannot generate.
    """

    def __init__(
        self,
        provider: object | str,
        *,
        runs: "Runs | None" = None,
        providers: Mapping[str, object] | None = None,
        capabilities: Mapping[str, bool] | None = None,
        telemetry: Reporter | bool = True,
        effects: NamedEffects | None = None,
        caches: CacheRegistry | None = None,
        concurrency: int | None = None,
        budget: Decimal | int | str | None = None,
        price: Quote = table_price,
        sleep: Sleep = asyncio.sleep,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._overrides = checked_overrides(capabilities or {})
        self._concurrency, self._budget, self._price = concurrency, budget_of(budget), price
        self._on = telemetry is not False
        self._reporter = None if isinstance(telemetry, bool) else telemetry
        self._runs = runs
        self._clients = dict(providers or {})
        if isinstance(provider, str):
            self._name = provider
        else:
            self._name = str(getattr(provider, "provider", PROVIDER))
            self._clients.setdefault(self._name, provider)
        for client in self._clients.values():
            executing.as_client(client)
        self._effects = DirectEffects(
            self._clients,
            caches or CacheRegistry(),
            effects or {},
            sleep=sleep,
            clock=clock,
            dice=dice,
        )

    async def handle(
        self, command: PlannedCommand | ExecutionPlan, execution_id: str | None = None
    ) -> FinalizedCommand | Failure:
        """Execute a plan.

        Returns a `FinalizedCommand` with one result per call, some of which may have failed, or
        a `Failure` where there is no answer at all. In a durable execution the same
        `execution_id` twice is the same execution. Raises `ServerUnreachable` or `StoreError`
        where a durable execution cannot begin, `SourceError` for a file that has changed.
        """
        planned = command if isinstance(command, PlannedCommand) else PlannedCommand(plan=command)
        collector = Collector(self._reporter, on=self._on)
        with collector.measure("APIHandler"):
            outcome = await self._executed(planned, execution_id or _new_id())
        collector.add(outcome.durations)
        return _finalized(planned, outcome, collector)

    async def count_tokens(self, plan: ExecutionPlan) -> TokenEstimate | None:
        """Return the plan's largest prompt as the provider counts it, free of charge.

        None where the client does not count (`TokenCounting`), or where it is not in this process.
        """
        name = plan.provider or self._name
        client: Any = self._clients.get(name)
        if not isinstance(client, TokenCounting):
            return None
        counts = []
        for index, call in enumerate(plan.calls):
            asked = GenerateCall(
                execution_id="count",
                provider=name,
                model=call.model,
                index=index,
                attempt=1,
                parts=call.parts,
                shared=plan.shared_parts,
                files=plan.files,
                settings=call.settings,
                timeout=plan.timeout,
            )
            request = await executing.chat_request(asked, self._effects.contents)
            counts.append(await client.count_tokens(request))
        most = max(counts)
        return TokenEstimate(min=most, expected=most, max=most, confidence=1.0)

    async def _executed(self, planned: PlannedCommand, execution_id: str) -> ExecutionOutcome:
        plan = planned.plan
        if plan.concurrency is None and self._concurrency is not None:
            plan = plan.model_copy(update={"concurrency": self._concurrency})
        if plan.budget is None and self._budget is not None:
            plan = plan.model_copy(update={"budget": self._budget})
        request = ExecutionRequest(
            execution_id=execution_id,
            provider=self._name,
            plan=plan,
            name=planned.name,
            overrides=self._overrides,
            money=money_of(plan, self._name, self._price),
        )
        if self._name in self._clients:
            return await Execution(request, self._effects).run()
        from client.execution.durable import execute  # Temporal's client, only where it is needed

        return await execute(request, self._runs)


def checked_overrides(capabilities: Mapping[str, bool]) -> dict[str, bool]:
    """Return overrides of capabilities. Raises `OptionsError` for what is none."""
    for name, on in capabilities.items():
        if name not in CAPABILITIES:
            known = ", ".join(CAPABILITIES)
            raise OptionsError(f"there is no capability {name!r}; there are {known}")
        if not isinstance(on, bool):
            raise OptionsError(f"capability {name!r} is True or False, not {on!r}")
    return dict(capabilities)


def _finalized(
    planned: PlannedCommand, outcome: ExecutionOutcome, collector: Collector
) -> FinalizedCommand | Failure:
    telemetry = collector.telemetry()
    if outcome.failure is not None:
        told = {"diagnostics": outcome.diagnostics, "telemetry": telemetry}
        return outcome.failure.model_copy(update={**told, "spent": outcome.spent})
    return FinalizedCommand(
        planned=planned,
        results=outcome.results,
        diagnostics=outcome.diagnostics,
        token_validation=validate_tokens(planned.plan.token_estimate, outcome.results),
        telemetry=telemetry,
        spent=outcome.spent,
    )


def _new_id() -> str:
    return f"execution-{secrets.token_hex(8)}"

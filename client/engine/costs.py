"""Costs as seed 004 counts them: dollars per 1K tokens, by model, agent and workflow.

A model's price is that of `CostConfig.model_costs`, by its name or that of its family
("claude-3-opus-20240229" costs what "claude-3-opus" does), else that of the bundled price table,
else the default, which is flagged wherever it was used. Sums are exact; floats only come out.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from contracts.messages import Usage
from contracts.prices import Price, Rate
from providers import pricing
from rules import prices

ALL_VENDORS = "simulated"
"""The price table's name for "whoever has a model of this name"."""

KEPT = 1000
"""Recorded costs that are kept one by one; older ones are only in the sums."""


def _seed_costs() -> dict[str, dict[str, float]]:
    return {
        "gpt-4": {"input": 0.03, "output": 0.06},
        "gpt-3.5-turbo": {"input": 0.0005, "output": 0.0015},
    }


@dataclass
class CostConfig:
    """Cost configuration: dollars per 1K tokens.

    `model_costs` maps a model to {"input": …, "output": …}, and optionally "cached_input",
    "cache_write" and "reasoning". The defaults are for models that nobody knows. Raises
    ValueError naming the field.
    """

    model_costs: dict[str, dict[str, float]] = field(default_factory=_seed_costs)
    default_input_cost: float = 0.01
    default_output_cost: float = 0.03

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ValueError for what is no price."""
        for name in ("default_input_cost", "default_output_cost"):
            _per_token(name, getattr(self, name))
        if not isinstance(self.model_costs, dict):
            raise ValueError(f"model_costs must be a dictionary, not {self.model_costs!r}")
        for model, costs in self.model_costs.items():
            if not isinstance(costs, dict):
                raise ValueError(f"model_costs[{model!r}] must be a dictionary, not {costs!r}")
            for kind in ("input", "output"):
                if kind not in costs:
                    raise ValueError(f"model_costs[{model!r}] lacks {kind!r}")
            for kind, dollars in costs.items():
                if kind not in _KINDS:
                    known = ", ".join(_KINDS)
                    raise ValueError(f"model_costs[{model!r}] has no {kind!r} (have: {known})")
                _per_token(f"model_costs[{model!r}][{kind!r}]", dollars)


_KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")


def _per_token(name: str, dollars: object) -> Decimal:
    """Return dollars per million tokens for dollars per thousand."""
    try:
        amount = Decimal(str(dollars)) * 1000
    except ArithmeticError:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{name} must be dollars per 1K tokens, 0 or more, not {dollars!r}")
    return amount


@dataclass(frozen=True)
class CostEntry:
    """One recorded cost, in dollars. `default_price` tells that the model's own was unknown."""

    agent_id: str
    agent_name: str
    workflow_id: str
    model: str
    input_tokens: int
    output_tokens: int
    cost: Decimal
    default_price: bool
    at: datetime | None
    metadata: Mapping[str, Any]


class CostTracker:
    """Cost tracking and budget checks. In a run the ledger decides; this only adds up."""

    def __init__(self, config: CostConfig | None = None) -> None:
        self.config = config or CostConfig()
        self._prices: dict[str, Price] = {}
        self._total = Decimal(0)
        self._tokens: Counter[str] = Counter()
        self._agents: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._workflows: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._models: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._calls: Counter[str] = Counter()
        self._agent_budgets: dict[str, Decimal] = {}
        self._workflow_budgets: dict[str, Decimal] = {}
        self._entries: deque[CostEntry] = deque(maxlen=KEPT)

    def price(self, model: str) -> Price:
        """Return what a model costs; `is_default` where its own price is unknown."""
        if model not in self._prices:
            self._prices[model] = self._stated(model) or _listed(model) or self._default(model)
        return self._prices[model]

    def _stated(self, model: str) -> Price | None:
        for name in pricing.family(model):
            costs = self.config.model_costs.get(name)
            if costs is not None:
                rates = {kind: Rate(base=_per_token(kind, costs[kind])) for kind in costs}
                named = {"model": name, "source": "CostConfig.model_costs", "version": ""}
                return Price.model_validate({**named, **rates})
        return None

    def _default(self, model: str) -> Price:
        config = self.config
        return Price(
            model=model,
            input=Rate(base=_per_token("default_input_cost", config.default_input_cost)),
            output=Rate(base=_per_token("default_output_cost", config.default_output_cost)),
            source="CostConfig.default",
            version="",
            is_default=True,
        )

    def calculate_cost(self, model: str, input_tokens: int, output_tokens: int) -> float:
        """Return the cost of one call in dollars."""
        return float(self._cost(model, input_tokens, output_tokens))

    def _cost(self, model: str, input_tokens: int, output_tokens: int) -> Decimal:
        if input_tokens < 0 or output_tokens < 0:
            raise ValueError("tokens must be 0 or more")
        return prices.cost(self.price(model), Usage(input_tokens, output_tokens))

    def record_cost(
        self,
        agent_id: str,
        agent_name: str,
        workflow_id: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        metadata: dict[str, Any] | None = None,
    ) -> float:
        """Add one call to the agent's and the workflow's costs; return what it cost in dollars."""
        cost = self._cost(model, input_tokens, output_tokens)
        self.record(
            CostEntry(
                agent_id,
                agent_name,
                workflow_id,
                model,
                input_tokens,
                output_tokens,
                cost,
                self.price(model).is_default,
                datetime.now(UTC),
                metadata or {},
            )
        )
        return float(cost)

    def record(self, entry: CostEntry) -> None:
        """Add a call whose cost was decided elsewhere."""
        self._total += entry.cost
        self._tokens["input"] += entry.input_tokens
        self._tokens["output"] += entry.output_tokens
        self._agents[entry.agent_id] += entry.cost
        self._workflows[entry.workflow_id] += entry.cost
        self._models[entry.model] += entry.cost
        self._calls[entry.model] += 1
        self._entries.append(entry)

    def set_workflow_budget(self, workflow_id: str, budget: float) -> None:
        """Set what a workflow may cost in dollars. Raises ValueError for what is no amount."""
        self._workflow_budgets[workflow_id] = _dollars(budget)

    def set_agent_budget(self, agent_id: str, budget: float) -> None:
        """Set what an agent may cost in dollars. Raises ValueError for what is no amount."""
        self._agent_budgets[agent_id] = _dollars(budget)

    def check_workflow_budget(self, workflow_id: str) -> bool:
        """Tell whether a workflow's cost is below its budget; without a budget it is."""
        budget = self._workflow_budgets.get(workflow_id)
        return budget is None or self._workflows.get(workflow_id, Decimal(0)) < budget

    def check_agent_budget(self, agent_id: str) -> bool:
        """Tell whether an agent's cost is below its budget; without a budget it is."""
        budget = self._agent_budgets.get(agent_id)
        return budget is None or self._agents.get(agent_id, Decimal(0)) < budget

    def get_workflow_cost(self, workflow_id: str) -> float:
        """Return what a workflow has cost so far, in dollars."""
        return float(self._workflows.get(workflow_id, Decimal(0)))

    def get_agent_cost(self, agent_id: str) -> float:
        """Return what an agent has cost so far, in dollars."""
        return float(self._agents.get(agent_id, Decimal(0)))

    def get_recent_costs(self, count: int = 100) -> list[CostEntry]:
        """Return the last recorded costs, oldest first."""
        return list(self._entries)[-count:] if count > 0 else []

    def get_statistics(self) -> dict[str, Any]:
        """Return totals in dollars and tokens, by model, agent and workflow.

        `default_priced_models` are those whose own price is unknown.
        """
        calls = sum(self._calls.values())
        return {
            "total_cost": float(self._total),
            "total_calls": calls,
            "total_input_tokens": self._tokens["input"],
            "total_output_tokens": self._tokens["output"],
            "total_tokens": self._tokens.total(),
            "average_cost_per_call": float(self._total / calls) if calls else 0.0,
            "cost_by_model": _floats(self._models),
            "calls_by_model": dict(self._calls),
            "cost_by_agent": _floats(self._agents),
            "cost_by_workflow": _floats(self._workflows),
            "default_priced_models": sorted(
                model for model in self._calls if self.price(model).is_default
            ),
        }


def _listed(model: str) -> Price | None:
    """Return the bundled table's price, whoever the vendor is."""
    try:
        return pricing.quote(ALL_VENDORS, model, datetime.now(UTC).date())
    except pricing.UnknownPrice:
        return None


def _dollars(budget: object) -> Decimal:
    try:
        dollars = Decimal(str(budget))
    except ArithmeticError:
        dollars = Decimal("NaN")
    if not dollars.is_finite():
        raise ValueError(f"a budget must be dollars, not {budget!r}")
    return dollars


def _floats(sums: Mapping[str, Decimal]) -> dict[str, float]:
    return {name: float(amount) for name, amount in sums.items()}

"""An engine's configuration, as seed 004 writes it."""

from dataclasses import dataclass, field
from typing import Any

from client.engine.costs import CostConfig
from client.engine.failures import RetryPolicy
from client.engine.limiting import RateLimitConfig
from client.engine.monitoring import MonitorConfig
from client.planning import SIMULATED
from providers.spi import LLMClient


class _SeedsLimits(RateLimitConfig):
    """The default limits, as nobody has configured them: they are for providers that bill."""


_PARTS: dict[str, type[Any]] = {
    "rate_limit_config": RateLimitConfig,
    "cost_config": CostConfig,
    "monitor_config": MonitorConfig,
    "default_retry_policy": RetryPolicy,
}


@dataclass
class EngineConfig:
    """Engine configuration; None is a part's default. Raises ValueError naming the field."""

    rate_limit_config: RateLimitConfig = field(default_factory=_SeedsLimits)
    cost_config: CostConfig = field(default_factory=CostConfig)
    monitor_config: MonitorConfig = field(default_factory=MonitorConfig)
    default_retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    max_concurrent_workflows: int = 50

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            if getattr(self, name) is None:
                setattr(self, name, kind())
            elif not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} must be a {kind.__name__}, not {getattr(self, name)!r}")
        most = self.max_concurrent_workflows
        if not isinstance(most, int) or most < 1:
            raise ValueError(f"max_concurrent_workflows must be 1 or more, not {most!r}")

    def limits_for(self, client: LLMClient) -> RateLimitConfig:
        """Return the limits of a client: the simulated one has only those that were configured."""
        limits = self.rate_limit_config
        as_it_was = type(limits) is _SeedsLimits and vars(limits) == vars(RateLimitConfig())
        if as_it_was and client.provider == SIMULATED:
            return RateLimitConfig.unlimited()
        return limits

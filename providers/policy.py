"""The persona policy: who may serve which persona (seed 000's file, and what it leaves open).

```yaml
personas:
  architect:
    requires: [system_prompts]
    provider_preferences: [claude_agent, openai]
    max_price_per_mtok: 15          # optional, like all below
    context_at_least: 100000
    models: {openai: [gpt-5.4]}
    system: You are a careful architect.
    max_tokens: 4000
    temperature: 0.3
providers:
  openai:
    capabilities: [system_prompts, streaming]
    default_model: gpt-5.4-mini
    models: [gpt-5.4]
    limits: {requests_per_minute: 500, tokens_per_minute: 200000, concurrency: 20}
prices:
  "openai/my-own-model": {input: 0, output: 0}
```

Loading checks what needs no network: unknown keys, preferences for providers that are not
declared. An empty file is an empty policy, not the default one.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.plans import PersonaProfile
from providers.capabilities import default_path, file_stamp
from providers.pricing import PriceOverride
from providers.yamlfiles import load_model, several


def _nothing(value: Any) -> Any:
    """Read a key without a value as an empty list."""
    return () if value is None else value


def _no_mapping(value: Any) -> Any:
    """Read a key without a value as an empty mapping."""
    return {} if value is None else value


Names = Annotated[tuple[str, ...], BeforeValidator(_nothing)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Limits(_Written):
    """A provider account's limits; None means none of ours.

    `burst` is the share of a minute's limits that may come at once after a rest; what is more
    comes evenly. Vendors enforce a minute's limit over shorter times too.
    """

    requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    requests_per_hour: Annotated[int | None, Field(ge=1)] = None
    requests_per_day: Annotated[int | None, Field(ge=1)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1)] = None
    concurrency: Annotated[int | None, Field(ge=1)] = None
    burst: Annotated[float, Field(gt=0, le=1)] = 0.25

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        limits = (
            self.requests_per_minute,
            self.requests_per_hour,
            self.requests_per_day,
            self.tokens_per_minute,
            self.concurrency,
        )
        return any(limit is not None for limit in limits)


class ProviderPolicy(_Written):
    """A provider as the policy declares it. `models` follow the default model, in order."""

    capabilities: Names = ()
    default_model: str | None = None
    models: Names = ()
    limits: Limits = Limits()


class Persona(_Written):
    """What a persona needs and prefers.

    `models` narrows a provider to these models, in order. `max_price_per_mtok` is the dearest
    that input or output may be, in dollars; `context_at_least` is in tokens.
    """

    requires: Names = ()
    provider_preferences: Names = ()
    models: Annotated[Mapping[str, Names], BeforeValidator(_no_mapping)] = {}
    max_price_per_mtok: Annotated[Decimal | None, Field(ge=0)] = None
    context_at_least: Annotated[int | None, Field(ge=1)] = None
    description: str = ""
    system: str | None = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None

    def profile(self, name: str) -> PersonaProfile:
        """Return what the persona adds to each of its calls."""
        return PersonaProfile(
            name=name, system=self.system, max_tokens=self.max_tokens, temperature=self.temperature
        )


class Policy(_Written):
    """The whole file. Prices are dollars per million tokens, by "provider/model", model or glob."""

    personas: Annotated[Mapping[str, Persona], BeforeValidator(_no_mapping)] = {}
    providers: Annotated[Mapping[str, ProviderPolicy], BeforeValidator(_no_mapping)] = {}
    prices: Annotated[Mapping[str, PriceOverride], BeforeValidator(_no_mapping)] = {}

    @model_validator(mode="after")
    def _preferences_are_declared(self) -> "Policy":
        undeclared = [
            (("personas", name, key), _undeclared(self, name, provider))
            for name, persona in self.personas.items()
            for key, named in (
                ("provider_preferences", persona.provider_preferences),
                ("models", tuple(persona.models)),
            )
            for provider in named
            if provider not in self.providers
        ]
        if undeclared:
            raise several(undeclared)
        return self


def _undeclared(policy: Policy, persona: str, provider: str) -> str:
    declared = ", ".join(policy.providers) or "none"
    return (
        f"persona {persona!r} names provider '{provider}', which is not declared under providers "
        f"(declared: {declared})"
    )


def load_policy(path: str | Path | None = None) -> tuple[Policy, Path]:
    """Read a policy; return it with the path it came from.

    Without a path: `docs/persona_policy.yaml` of the working folder, else the shipped one.
    Raises `RouterError` naming the file and, where there is one, the line.
    """
    chosen = Path(path) if path is not None else default_path("persona_policy.yaml")
    return _load(chosen, chosen.absolute(), file_stamp(chosen)), chosen


@lru_cache(maxsize=16)
def _load(shown: Path, path: Path, stamp: tuple[int, int] | None) -> Policy:
    return load_model(shown, Policy)

"""The search for candidates: every (provider, model) that a persona's preferences offer, judged.

A `Catalogue` is what the router was loaded with (policy, capability table, prices, environment)
and answers questions about it; a `Search` walks a persona's preferences through it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts.prices import Price
from providers import registry
from providers.candidates import (
    Needs,
    Requirements,
    RoutedCandidate,
    Verdict,
    judge_price,
    judge_profile,
    lacking,
    similar,
)
from providers.capabilities import CapabilityTable, Profile
from providers.exceptions import PersonaNotFoundError, RouterError
from providers.policy import Persona, Policy
from providers.pricing import Overrides, UnknownPrice, quote

NEVER_BY_ITSELF = "simulated"
"""Serves only where it is named: it answers without a model."""


@dataclass(frozen=True)
class Catalogue:
    """What is configured: personas, providers, models, prices. `path` is the policy's."""

    policy: Policy
    path: Path
    table: CapabilityTable
    prices: Overrides
    env: Mapping[str, str]

    def persona(self, name: str) -> Persona:
        """Return a persona. Raises `PersonaNotFoundError`, which says where to define it."""
        if not isinstance(name, str):
            raise PersonaNotFoundError(f"a persona is named by a text, not by {name!r}")
        found = self.policy.personas.get(name)
        if found is not None:
            return found
        close = similar(name, self.policy.personas)
        raise PersonaNotFoundError(
            f"persona {name!r} is not defined in {self.path}."
            + (f" Did you mean {close!r}?" if close else "")
            + f" Define it there: personas: {{{name}: {{requires: [system_prompts], "
            "provider_preferences: [claude_agent, openai]}}"
        )

    def preferences(self, persona: Persona) -> Sequence[str]:
        """Return the persona's providers in order; without any, the default one, then all.

        Raises `RouterError` when EP_DEFAULT_PROVIDER names one that is not declared.
        """
        if persona.provider_preferences:
            return persona.provider_preferences
        others = [name for name in self.policy.providers if name != NEVER_BY_ITSELF]
        first = self.env.get("EP_DEFAULT_PROVIDER", "").strip()
        if not first:
            return others
        if first not in self.policy.providers:
            raise RouterError(
                f"EP_DEFAULT_PROVIDER names {first!r}, which {self.path} does not declare "
                f"(declared: {', '.join(self.policy.providers) or 'none'})"
            )
        return [first, *(name for name in others if name != first)]

    def declared(self, provider: str) -> frozenset[str]:
        """Return the capabilities that the policy gives a provider."""
        found = self.policy.providers.get(provider)
        return frozenset(found.capabilities if found else ())

    def models(self, persona: Persona, provider: str) -> list[str]:
        """Return a provider's models for a persona, the preferred one first."""
        if persona.models.get(provider):
            return list(persona.models[provider])
        declared = self.policy.providers.get(provider)
        default = (declared and declared.default_model) or self.table.default_model(provider)
        models = [default, *(declared.models if declared else ())]
        return list(dict.fromkeys(model for model in models if model))

    def first_model(self, persona: Persona, provider: str, needed: Requirements) -> str:
        """Return the first of a provider's models that has what is needed, else its first.

        A provider of the user's own may have no default model: then "" stands for its factory's.
        """
        models = self.models(persona, provider)
        for model in models:
            profile, known = self.table.profile(provider, model)
            if profile is None or not judge_profile(needed, profile, known=known)[0]:
                return model
        return models[0] if models else ""


class Search:
    """One search: every (provider, model) looked at, and those taken, in order."""

    def __init__(self, catalogue: Catalogue, needed: Requirements, needs: Needs) -> None:
        self._catalogue, self.needed, self._needs = catalogue, needed, needs
        self.verdicts: list[Verdict] = []
        self.taken: list[RoutedCandidate] = []
        self._seen: set[tuple[str, str]] = set()

    def look(self, name: str, pinned: str | None, why: str = "") -> None:
        """Look at all that a persona's preferences offer; `pinned` is the only model to take.

        Each provider's first fitting model comes before anybody's second: where a provider is
        down, so are its other models.
        """
        persona = self._catalogue.persona(name)
        first: list[RoutedCandidate] = []
        further: list[RoutedCandidate] = []
        chosen = self._needs.provider
        for provider in [chosen] if chosen else self._catalogue.preferences(persona):
            fitting = list(self._of_provider(persona, provider, pinned, why))
            first += fitting[:1]
            further += fitting[1:]
        self.taken += first + further

    def _of_provider(
        self, persona: Persona, provider: str, pinned: str | None, why: str
    ) -> Iterator[RoutedCandidate]:
        models = [pinned] if pinned else self._catalogue.models(persona, provider)
        if not models:
            cure = f"it has no model: set providers.{provider}.default_model"
            reasons = self._against_provider(provider) or [cure]
            self.verdicts.append(Verdict(provider, "", tuple(reasons)))
        for model in models:
            if (provider, model) in self._seen:
                continue
            self._seen.add((provider, model))
            told = "the model asked for" if pinned else f"model {model}"
            origin = why or (
                "the provider asked for" if self._needs.provider else f"preference {provider}"
            )
            candidate = self._judge(provider, model, f"{origin}, {told}", pinned=bool(pinned))
            if candidate is not None:
                yield candidate

    def _judge(
        self, provider: str, model: str, why: str, *, pinned: bool
    ) -> RoutedCandidate | None:
        """Record the verdict on one model; return it as a candidate where it fits."""
        profile, known = self._catalogue.table.profile(provider, model)
        reasons = self._against_provider(provider)
        if pinned and not known:
            reasons += self._against_pin(provider, model)
        if profile is None:
            profile = Profile(capabilities=self._catalogue.declared(provider))
        against, notes = judge_profile(self.needed, profile, known=known)
        price, too_dear = self._price(provider, model)
        missing, absent = self._missing(provider)
        reasons += against + too_dear + missing
        notes += absent
        self.verdicts.append(Verdict(provider, model, tuple(reasons), tuple(notes)))
        if price is None or reasons:
            return None
        why = "; ".join((why, *notes))
        return RoutedCandidate(provider, model, profile, price, why, tuple(notes))

    def _against_provider(self, provider: str) -> list[str]:
        """Hold the policy's declaration against what is needed."""
        if provider not in self._catalogue.policy.providers:
            known = provider in self._catalogue.table.providers or provider in registry.names()
            return [] if known else ["the policy does not declare it"]
        missing = lacking(self.needed.capabilities, self._catalogue.declared(provider))
        return [f"the policy gives it no {name}" for name in missing]

    def _against_pin(self, provider: str, model: str) -> list[str]:
        """A model that the table lists for another vendor is not this one's, unless declared."""
        declared = self._catalogue.policy.providers.get(provider)
        if declared and model in (declared.default_model, *declared.models):
            return []
        table = self._catalogue.table
        vendors = (v for v in table.providers if v not in (provider, NEVER_BY_ITSELF))
        owner = next((v for v in vendors if table.profile(v, model)[1]), None)
        return [f"{model} is a model of {owner}"] if owner else []

    def _price(self, provider: str, model: str) -> tuple[Price | None, list[str]]:
        at = self._needs.at or datetime.now(UTC).date()
        try:
            sound = "audio" in self.needed.modalities
            lasts = self._needs.cache_lasts_s
            price = quote(
                provider, model, at, self._catalogue.prices, sound=sound, cache_lasts_s=lasts
            )
        except UnknownPrice as error:
            return None, [str(error)]
        return price, judge_price(self.needed, price)

    def _missing(self, provider: str) -> tuple[list[str], list[str]]:
        """Return what is missing here: a reason, or a note where other workers may have it."""
        found = registry.availability(provider, self._catalogue.env)
        if isinstance(found, registry.Available):
            return [], []
        return ([str(found)], []) if self._needs.available_only else ([], [str(found)])

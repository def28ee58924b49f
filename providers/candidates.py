"""Who fits: one (provider, model) held against what a persona and a request need.

Pure values and functions. A verdict names every reason against a candidate, not the first only,
and what a user should know of one that was taken.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from contracts.messages import ChatRequest
from contracts.parts import FileInlinePart, FileRefPart
from contracts.prices import Price
from providers import tokens
from providers.capabilities import CAPABILITIES, ModelEntry, Profile
from providers.policy import Persona


@dataclass(frozen=True)
class Needs:
    """What a step needs beyond its persona.

    `provider` and `model` pin one; sizes are in tokens. `available_only` False also takes
    providers that this process has no key for (other workers may), with a note that says so.
    `at` is the day that prices are quoted for (default: today). `modalities` are the kinds of
    files that are sent along ("image", "pdf", …). `cache_lasts_s`: for how long cached prefixes
    are to last, where that was said.
    """

    capabilities: tuple[str, ...] = ()
    prompt_tokens: int = 0
    output_tokens: int = 0
    provider: str | None = None
    model: str | None = None
    available_only: bool = True
    at: date | None = None
    modalities: tuple[str, ...] = ()
    cache_lasts_s: float | None = None


@dataclass(frozen=True)
class Requirements:
    """Everything that must hold, with where each capability comes from."""

    capabilities: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    output_tokens: int = 0
    context_at_least: int = 0
    max_price: Decimal | None = None
    temperature: float | None = None
    top_p: float | None = None
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class RoutedCandidate:
    """A provider and model that fit, in the order in which they are to be tried."""

    provider: str
    model: str
    profile: Profile
    price: Price
    why: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Why a provider's model was taken (`rank` from 1) or not (`reasons`)."""

    provider: str
    model: str
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rank: int | None = None

    @property
    def fits(self) -> bool:
        """Nothing speaks against it."""
        return not self.reasons

    def line(self) -> str:
        """Return the verdict in one line."""
        name = f"{self.provider}/{self.model}" if self.model else self.provider
        mark = f"{self.rank}." if self.rank else "-"
        told = "; ".join(self.reasons) if self.reasons else "fits"
        notes = "".join(f" ({note})" for note in self.notes)
        return f"{mark} {name}: {told}{notes}"


@dataclass(frozen=True)
class Explanation:
    """How a persona's candidates were chosen."""

    persona: str
    requires: Mapping[str, str]
    verdicts: tuple[Verdict, ...]

    def lines(self) -> list[str]:
        """Return the explanation as lines to print: the taken ones first, in order."""
        needs = ", ".join(f"{name} ({origin})" for name, origin in self.requires.items())
        taken = sorted((v for v in self.verdicts if v.rank), key=lambda v: v.rank or 0)
        others = [v for v in self.verdicts if not v.rank]
        head = f"{self.persona} needs {needs or 'nothing in particular'}"
        return [head, *(verdict.line() for verdict in (*taken, *others))]

    def data(self) -> dict[str, Any]:
        """Return the explanation as JSON."""
        return {
            "persona": self.persona,
            "requires": dict(self.requires),
            "candidates": [
                {
                    "provider": verdict.provider,
                    "model": verdict.model,
                    "rank": verdict.rank,
                    "reasons": list(verdict.reasons),
                    "notes": list(verdict.notes),
                }
                for verdict in self.verdicts
            ],
        }


def requirements(persona: Persona, request: ChatRequest | None, needs: Needs) -> Requirements:
    """Join what the persona, the request and the step need."""
    wanted = dict.fromkeys(persona.requires, "the persona")
    for name in needs.capabilities:
        wanted.setdefault(name, "the step")
    found = Requirements(
        capabilities=wanted,
        prompt_tokens=needs.prompt_tokens,
        output_tokens=needs.output_tokens,
        context_at_least=persona.context_at_least or 0,
        max_price=persona.max_price_per_mtok,
        temperature=persona.temperature,
        modalities=needs.modalities,
    )
    return found if request is None else _with_request(found, request, persona)


def _with_request(found: Requirements, request: ChatRequest, persona: Persona) -> Requirements:
    wanted = dict(found.capabilities)
    for name, origin in request_capabilities(request).items():
        wanted.setdefault(name, origin)
    temperature = request.temperature
    return replace(
        found,
        capabilities=wanted,
        prompt_tokens=max(found.prompt_tokens, tokens.count_request(request)),
        output_tokens=max(found.output_tokens, request.max_tokens or persona.max_tokens or 0),
        temperature=found.temperature if temperature is None else temperature,
        top_p=request.top_p,
    )


def request_capabilities(request: ChatRequest) -> dict[str, str]:
    """Return the capabilities that a request needs, each with the field that asks for it."""
    wanted: dict[str, str] = {}
    if request.tools:
        wanted["tool_calling"] = "tools"
    if request.response_schema is not None:
        wanted["json_mode"] = "response_schema"
    elif request.json_mode:
        wanted["json_mode"] = "json_mode"
    if request.stop:
        wanted["stop_sequences"] = "stop"
    parts = [part for message in request.messages for part in message.parts]
    files = [part for part in parts if isinstance(part, FileInlinePart | FileRefPart)]
    if any(part.mime_type.startswith("image/") for part in files):
        wanted["vision"] = "an image"
    return wanted


def lacking(wanted: Mapping[str, str], has: frozenset[str]) -> list[str]:
    """Return the wanted capabilities that are not there, in order."""
    return [name for name in wanted if name not in has]


def judge_profile(
    needed: Requirements, profile: Profile, *, known: bool
) -> tuple[list[str], list[str]]:
    """Return reasons against a model and notes on it, from its profile alone."""
    table = {name: origin for name, origin in needed.capabilities.items() if name in CAPABILITIES}
    reasons = [f"the model lacks {name}" for name in lacking(table, profile.capabilities)]
    unread = [kind for kind in needed.modalities if kind not in profile.modalities]
    reasons += [f"the model takes no {kind} files" for kind in unread]
    window, most = profile.context_window, profile.max_output_tokens
    size = needed.prompt_tokens + needed.output_tokens + profile.overhead_tokens
    if window is not None:
        if needed.context_at_least > window:
            reasons.append(f"its window of {window:,} tokens is below {needed.context_at_least:,}")
        if needed.prompt_tokens and size > window:
            reasons.append(f"about {size:,} tokens do not fit its window of {window:,}")
    elif needed.context_at_least:
        reasons.append(f"its window is not known ({needed.context_at_least:,} tokens wanted)")
    if most is not None and needed.output_tokens > most:
        reasons.append(f"it answers in {most:,} tokens at most, {needed.output_tokens:,} wanted")
    highest = profile.sampling.temperature
    if highest is not None and (needed.temperature or 0) > highest:
        reasons.append(f"its temperature ends at {highest:g}, {needed.temperature:g} wanted")
    notes = _notes(needed, profile)
    if not known:
        notes.append("the capability table does not know it: defaults are assumed")
    return reasons, notes


def _notes(needed: Requirements, profile: Profile) -> list[str]:
    notes = []
    if needed.temperature is not None and profile.sampling.temperature is None:
        notes.append("it takes no temperature")
    if needed.top_p is not None and not profile.sampling.top_p:
        notes.append("it takes no top_p")
    if isinstance(profile, ModelEntry):
        if profile.shutdown is not None:
            notes.append(f"the vendor serves it until {profile.shutdown}")
        if profile.note:
            notes.append(profile.note)
    return notes


def judge_price(needed: Requirements, price: Price) -> list[str]:
    """Return what speaks against a price."""
    dearest = max(price.input.base, price.output.base)
    if needed.max_price is not None and dearest > needed.max_price:
        return [f"${dearest} per million tokens is above the persona's ${needed.max_price}"]
    return []


def similar(name: str, known: Mapping[str, object]) -> str | None:
    """Return a known name that a misspelt one may have meant."""
    import difflib

    plain = {re.sub(r"\W", "_", other.lower()): other for other in known}
    found = difflib.get_close_matches(re.sub(r"\W", "_", name.lower()), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None

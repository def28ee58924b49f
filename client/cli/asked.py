"""From a question on the command line to an execution that may begin: files, provider, money.

Everything that can be wrong is found here, before anything is sent: a file that is missing, empty
or cannot be read, a kind of file that the model does not take (with who would), a provider that
nobody serves, a price above the budget. Nothing here needs a server.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from client.cli.ask_caching import caching_line
from client.cli.console import Refusal
from client.cli.preparing import SIMULATED, check_provider, dollars
from client.cli.spelling import at_most, cap
from client.execution import (
    CachePlan,
    ExecutionOptions,
    ExecutionPlan,
    SourceError,
    SourceFile,
    TextPart,
    describe_file,
    plan_execution,
)
from client.planning import DEFAULT_PERSONA
from config.attachments import KINDS, page_count
from config.settings import Settings
from config.sourcefiles import encoding_note
from contracts.base import Frozen
from contracts.execution import CallSettings
from contracts.files import INLINE_BYTES, MOST_BYTES
from contracts.plans import DEFAULT_MAX_TOKENS, PersonaProfile
from providers import media
from providers.exceptions import NoProviderError
from providers.router import Needs, PersonaRouter, RoutedCandidate
from rules import bounds, prices
from rules.execution import RETRIES

KEPT_S = 3600.0
"""What --keep means without --ttl."""


@dataclass(frozen=True)
class Question:
    """What was asked for on the command line. `at_once`: how many prompts may be open.

    `ttl_s`: for so long a cache is to last.
    """

    prompts: Sequence[str]
    files: Sequence[Path]
    provider: str | None = None
    model: str | None = None
    persona: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    budget: str | None = None
    upload: bool = False
    keep: bool = False
    ttl_s: float | None = None
    reuse_s: float = 0.0
    at_once: int | None = None

    @property
    def caches(self) -> bool:
        """Whether the files are cached: where that can pay, or somebody wants it."""
        wanted = len(self.prompts) > 1 or self.keep or self.ttl_s is not None
        return bool(self.files) and wanted

    @property
    def lasts_s(self) -> float | None:
        """For how long a cached prefix is to be there; None: as long as vendors keep one anyway."""
        if not self.caches:
            return None
        return self.ttl_s or (KEPT_S if self.keep else None)

    @property
    def simulated(self) -> bool:
        """Whether the simulator stands in for the provider."""
        return self.provider == SIMULATED


@dataclass(frozen=True)
class Described:
    """The question's files as they are now, each once; `pages` of documents by digest, where known.

    `paths` are as they were given. `notes` are for who asks.
    """

    files: tuple[SourceFile, ...]
    pages: dict[str, int | None]
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds that are no text, each with a file of it."""
        found = {media.modality(file.mime_type): file.name for file in self.files}
        return {kind: name for kind, name in found.items() if kind != "text"}


@dataclass(frozen=True)
class Asked:
    """A question that may be asked: of whom, how, and for how much at most.

    `caching` tells people how the files are cached, and what that costs; "" where they are not.
    """

    provider: str
    candidate: RoutedCandidate
    plan: ExecutionPlan
    worst: Decimal
    budget: Decimal
    caching: str = ""


def describe(question: Question) -> Described:
    """Look at the files. Raises Refusal naming the first that cannot be asked about."""
    if not all(prompt.strip() for prompt in question.prompts):
        raise Refusal("a question is empty")
    if question.ttl_s is not None and not question.files:
        raise Refusal("--ttl: there are no files to cache")
    given: dict[SourceFile, Path] = {}
    try:
        for path in question.files:
            given.setdefault(describe_file(path), path)
    except SourceError as error:
        raise Refusal(str(error)) from None
    files = tuple(given)
    for file in files:
        if media.modality(file.mime_type) not in KINDS:
            raise Refusal(
                f"{file.name}: no model takes files of type {file.mime_type}. Text, images, PDF, "
                "sound and video are taken; save it as one of them"
            )
    try:
        pages = {file.sha256: page_count(file) for file in files}
    except SourceError as error:
        raise Refusal(str(error)) from None
    notes = (encoding_note(file.path, file.name, file.mime_type) for file in files)
    return Described(files, pages, tuple(given.values()), tuple(note for note in notes if note))


def prepare_question(
    settings: Settings,
    question: Question,
    described: Described,
    served: Collection[str] | None = None,
) -> Asked:
    """Choose who is asked and plan it. Raises Refusal, RouterError.

    `served` names the providers that workers elsewhere poll for.
    """
    if question.provider is not None:
        check_provider(question.provider, served)
    router = PersonaRouter(
        settings.persona_policy, settings.capabilities, prices=settings.price_overrides()
    )
    profile = router.profile(question.persona) if question.persona else PersonaProfile(name="")
    call = CallSettings(
        system=question.system or profile.system,
        max_tokens=question.max_tokens or profile.max_tokens or DEFAULT_MAX_TOKENS,
        temperature=profile.temperature,
    )
    candidate = _chosen(router, question, described, call, served)
    provider = SIMULATED if question.simulated else candidate.provider
    _check_size(router, provider, described)
    plan = _plan(question, described.paths, candidate, provider, call)
    worst = worst_case(plan, candidate, described.pages)
    limit = dollars(question.budget, "--budget") if question.budget else settings.cost_budget
    if worst > limit:
        raise Refusal(
            f"this could cost {at_most(worst)} if every answer is long and every retry is needed, "
            f"more than {cap(limit)}: raise --budget, or lower --max-tokens"
        )
    facts = router.capabilities.caching(provider, candidate.model)
    told = caching_line(plan, candidate.price, facts)
    return Asked(provider, candidate, plan, worst, limit, told)


def _chosen(
    router: PersonaRouter,
    question: Question,
    described: Described,
    call: CallSettings,
    served: Collection[str] | None,
) -> RoutedCandidate:
    """Return the first that fits. Raises Refusal where none does."""
    kinds = described.kinds
    needs = Needs(
        capabilities=("vision",) if "image" in kinds else (),
        output_tokens=call.max_tokens or 0,
        provider=None if question.simulated else question.provider,
        model=question.model,
        available_only=served is None and not question.simulated,
        modalities=tuple(kinds),
        cache_lasts_s=question.lasts_s,
    )
    try:
        found = router.candidates(question.persona or DEFAULT_PERSONA, needs=needs)
    except NoProviderError as error:
        raise Refusal(f"{error}{_would(router, kinds)}") from None
    if served is not None and not question.simulated:
        found = [candidate for candidate in found if candidate.provider in served]
    if not found:
        raise Refusal("no worker serves a provider that fits: start one with `python worker.py`")
    return found[0]


def _would(router: PersonaRouter, kinds: dict[str, str]) -> str:
    """Say which providers would take the files."""
    if not kinds:
        return ""
    named = ", ".join(f"{name} ({kind})" for kind, name in kinds.items())
    takers = ", ".join(media.takers(router.capabilities, kinds)) or "none that is known"
    return f"\nTo ask about {named}; these would take it: {takers}"


def _check_size(router: PersonaRouter, provider: str, described: Described) -> None:
    """Refuse more than can be uploaded, and more than a request holds of what cannot be."""
    kept = router.capabilities.entry(provider).uploads
    sent = [file for file in described.files if media.modality(file.mime_type) not in kept]
    size = sum(file.size_bytes for file in described.files)
    inline = sum(file.size_bytes for file in sent)
    if size > MOST_BYTES:
        raise Refusal(f"the files have {size:,} bytes together, {MOST_BYTES:,} can be uploaded")
    if inline > INLINE_BYTES:
        names = ", ".join(file.name for file in sent)
        raise Refusal(
            f"{names}: {inline:,} bytes together, more than a request of {INLINE_BYTES:,} holds, "
            f"and not uploaded to {provider}"
        )


def _plan(
    question: Question,
    paths: Sequence[Path],
    candidate: RoutedCandidate,
    provider: str,
    call: CallSettings,
) -> ExecutionPlan:
    """Return the plan: all prompts about the same files, which are uploaded and cached once.

    With a cache one prompt follows the other, so that each finds what the first has warmed.
    """
    cached = question.caches
    cache = CachePlan(keep=question.keep, ttl_s=question.ttl_s or KEPT_S)
    if candidate.price.cache_write_1h is not None:  # else it makes no difference
        cache = cache.model_copy(update={"lasts_s": question.lasts_s})
    options = ExecutionOptions(
        model=candidate.model,
        provider=provider,
        settings=call,
        cache=cache if cached else False,
        reuse_s=question.reuse_s,
        uploads="required" if question.upload else "auto",
        concurrency=question.at_once or (1 if cached else None),
    )
    try:
        return plan_execution(paths, list(question.prompts), options)
    except SourceError as error:
        raise Refusal(str(error)) from None


def worst_case(
    plan: ExecutionPlan, candidate: RoutedCandidate, pages: dict[str, int | None]
) -> Decimal:
    """Return the most that a plan can cost: each try of each call, and making the cache."""
    window = candidate.profile.context_window
    sizes = [
        media.file_tokens(candidate.model, f.mime_type, f.size_bytes, window, pages.get(f.sha256))
        for f in plan.files
    ]
    shared = _text_bytes(plan.shared_parts)
    tries = 1 + RETRIES.max_retries + (plan.cache is not None)
    overhead = candidate.profile.overhead_tokens
    total = Decimal(0)
    for call in plan.calls:
        own = _text_bytes(call.parts) + len((call.settings.system or "").encode())
        bound = bounds.input_bound(shared + own, sizes) + overhead
        one = prices.worst_case(candidate.price, bound, call.settings.max_tokens or 0)
        total += tries * one
    if plan.cache is not None:
        total += prices.worst_case(candidate.price, bounds.input_bound(shared, sizes), 0)
    return total


def _text_bytes(parts: Sequence[Frozen]) -> int:
    return sum(len(part.text.encode()) for part in parts if isinstance(part, TextPart))

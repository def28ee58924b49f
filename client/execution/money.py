"""What an execution under a budget needs to know before it begins: prices, and bounds of prompts.

Bounds are those of runs: a text has no more tokens than bytes, files have what `providers.media`
says, an address whose content is not known here fills the model's window.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

from client.execution.planning import OptionsError
from contracts.base import Frozen
from contracts.execution import (
    APICall,
    CallSettings,
    ExecutionPlan,
    FileInlinePart,
    FilePlaceholder,
    FileRefPart,
    TextPart,
)
from contracts.execution_calls import ExecutionMoney, Tariff
from contracts.execution_parts import Expanding, StoredPart
from contracts.messages import Message
from contracts.money import misfit
from contracts.plans import DEFAULT_MAX_TOKENS
from contracts.prices import Price
from providers import media
from providers.capabilities import load_capabilities
from providers.prefixes import SHORT_LIFE_S
from rules import bounds
from rules.planning import TOOLS_ALLOWANCE

Quote = Callable[[str, str], Price | None]
"""From provider and model to a price, or None where none is known."""


def money_of(plan: ExecutionPlan, provider: str, price: Quote) -> ExecutionMoney | None:
    """Return a plan's money; None for a plan without a budget.

    Raises `OptionsError` for a model whose price is not known.
    """
    if plan.budget is None:
        return None
    fallback = plan.fallback
    return ExecutionMoney(
        budget=plan.budget,
        primary=_tariff(plan, plan.provider or provider, price),
        fallback=None
        if fallback is None
        else _tariff(fallback, fallback.provider or provider, price),
    )


def _tariff(plan: ExecutionPlan, provider: str, quote: Quote) -> Tariff:
    price = quote(provider, plan.model)
    if price is None:
        raise OptionsError(
            f"budget: no price is known for model {plan.model!r} of provider {provider!r}; "
            "give APIHandler(price=…)"
        )
    _check_lasting(plan, price)
    sizes = _Sizes(plan, provider)
    shared = sizes.all(plan.shared_parts)
    return Tariff(
        price=price,
        max_tokens=DEFAULT_MAX_TOKENS,
        bounds=tuple(shared + sizes.call(call) for call in plan.calls),
        shared_bound=bounds.input_bound(shared + sizes.systems(), ()),
    )


def _check_lasting(plan: ExecutionPlan, price: Price) -> None:
    """Refuse a prefix that lasts longer at a rate that is not known."""
    lasts = plan.cache.lasts_s if plan.cache is not None else None
    if (lasts or 0) > SHORT_LIFE_S and price.cache_write and not price.cache_write_1h:
        raise OptionsError(
            f"cache.lasts_s: what model {plan.model!r} asks for a prefix that lasts an hour is not "
            "in its price; give APIHandler(price=…)"
        )


class _Sizes:
    """Bounds of parts in tokens, for one model."""

    def __init__(self, plan: ExecutionPlan, provider: str) -> None:
        profile, _ = load_capabilities().profile(provider, plan.model)
        self._plan = plan
        self._window = (profile.context_window if profile else None) or media.NOT_KNOWN_WINDOW
        self._overhead = profile.overhead_tokens if profile else 0

    def call(self, call: APICall) -> int:
        """Return the bound of a call's own parts and settings, and of what is added around."""
        own = _bytes(call.settings.system) + self.all(call.parts)
        return bounds.input_bound(own + _form(call.settings), ()) + self._overhead

    def systems(self) -> int:
        """Return the largest system text: it is cached with the shared parts."""
        return max(_bytes(call.settings.system) for call in self._plan.calls)

    def all(self, parts: Iterable[Frozen]) -> int:
        return sum(self._part(part) for part in parts)

    def _part(self, part: Frozen) -> int:
        if isinstance(part, TextPart):
            return len(part.text.encode())
        if isinstance(part, FilePlaceholder):
            file = self._plan.files[part.index]
            return media.NAME_BYTES + self._file(file.mime_type, file.size_bytes, file.path)
        if isinstance(part, FileInlinePart):
            return media.NAME_BYTES + self._file(part.mime_type, len(part.data))
        if isinstance(part, StoredPart):
            return part.ref.size_bytes
        if isinstance(part, Expanding) and not isinstance(part, FileRefPart):
            return sum(
                self._message(one) if isinstance(one, Message) else self._part(one)
                for one in part.expand()
            )
        return self._window

    def _message(self, message: Message) -> int:
        own = len(message.content.encode()) + bounds.MESSAGE_TOKENS
        calls = sum(len(call.raw_arguments or str(call.arguments)) for call in message.tool_calls)
        return own + calls + self.all(message.parts)

    def _file(self, mime_type: str, size: int, path: str = "") -> int:
        pages = None
        if path and media.modality(mime_type) == "pdf" and Path(path).is_file():
            pages = media.count_pages(Path(path).read_bytes())
        return media.file_tokens(self._plan.model, mime_type, size, self._window, pages)


def _bytes(text: str | None) -> int:
    return len((text or "").encode())


def _form(settings: CallSettings) -> int:
    """Return the bound of what asks for JSON."""
    if settings.response_schema is None and not settings.json_mode:
        return 0
    return TOOLS_ALLOWANCE + len(str(settings.response_schema or "").encode()) * 2


def budget_of(given: "Decimal | int | str | None") -> Decimal | None:
    """Return a budget in dollars. Raises `OptionsError` for what is none."""
    if given is None:
        return None
    try:
        dollars = Decimal(given)
    except (ArithmeticError, ValueError, TypeError):
        raise OptionsError(f"budget: {given!r} is no amount of dollars") from None
    if (wrong := misfit(dollars)) is not None:
        raise OptionsError(f"budget: {given!r} {wrong}")
    return dollars

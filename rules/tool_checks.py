"""Which tools a test case wants, held against the calls that were made. Pure.

An expectation stands for every call of its tool whose arguments all fit; arguments that it does
not name may be anything, and calls that nothing expects are no fault (`count: 0` forbids them).
Order, where it is asked for, is that of the expectations: other calls may lie between.
"""

from collections.abc import Sequence

from rapidfuzz import fuzz

from contracts.agent_cases import ArgumentMatch, ExpectedTool
from contracts.base import Json
from rules import patterns
from rules.verdicts import CannotEvaluate, ToolUse, Verdict, cut, plain, same, text_of

ORDER = "order of tools"


def check_tools(
    expected: Sequence[ExpectedTool], used: Sequence[ToolUse], *, in_order: bool = False
) -> tuple[Verdict, ...]:
    """Return a verdict for each expectation, and with `in_order` one for their order.

    Raises CannotEvaluate for a pattern that is no regular expression, or takes too long.
    """
    verdicts = [_check(one, used) for one in expected]
    if in_order:
        verdicts.append(_order(expected, used))
    return tuple(verdicts)


def likeness(one: str, other: str) -> float:
    """Return how alike two texts are, from 0 to 1; case and white space do not count."""
    return fuzz.ratio(plain(one), plain(other)) / 100


def fits(match: ArgumentMatch, given: Json) -> bool:
    """Return whether an argument is what it must be. Raises CannotEvaluate."""
    if match.mode == "literal":
        return same(match.value, given)
    if match.mode == "fuzzy":
        return likeness(text_of(match.value), text_of(given)) >= match.threshold
    try:
        return patterns.occurs(text_of(match.value), text_of(given))
    except (patterns.BadPattern, patterns.TooSlow) as error:
        raise CannotEvaluate(str(error)) from None


def _check(expected: ExpectedTool, used: Sequence[ToolUse]) -> Verdict:
    calls = [one for one in used if one.name == expected.name]
    fitting = [one for one in calls if _fits_all(expected, one)]
    enough = bool(fitting) if expected.count is None else len(fitting) == expected.count
    reason = "" if enough else _why(expected, calls, len(fitting), used)
    return Verdict(described(expected), float(enough), reason=reason)


def _fits_all(expected: ExpectedTool, use: ToolUse) -> bool:
    given = use.arguments if isinstance(use.arguments, dict) else {}
    return all(
        name in given and fits(match, given[name]) for name, match in expected.arguments.items()
    )


def _why(
    expected: ExpectedTool, calls: Sequence[ToolUse], fitting: int, used: Sequence[ToolUse]
) -> str:
    if expected.count is not None and (fitting or not calls):
        return f"{fitting} such calls, not {expected.count}"
    if not calls:
        others = ", ".join(dict.fromkeys(one.name for one in used))
        return f"not called; called were {others}" if others else "not called; no tool was"
    return f"called with {'; '.join(cut(text_of(one.arguments)) for one in calls[:3])}"


def _order(expected: Sequence[ExpectedTool], used: Sequence[ToolUse]) -> Verdict:
    """Take each expectation's calls behind those of the one before, the earliest that fit."""
    place = 0
    for one in expected:
        for _ in range(1 if one.count is None else one.count):
            found = next(
                (n for n in range(place, len(used)) if _is(one, used[n])),
                None,
            )
            if found is None:
                called = ", ".join(use.name for use in used) or "none"
                return Verdict(ORDER, 0.0, reason=f"{one.name} comes too early or not at all "
                               f"(called, in order: {called})")  # fmt: skip
            place = found + 1
    return Verdict(ORDER, 1.0)


def _is(expected: ExpectedTool, use: ToolUse) -> bool:
    return use.name == expected.name and _fits_all(expected, use)


_SIGNS = {"literal": "=", "fuzzy": "≈", "regex": "~"}


def described(expected: ExpectedTool) -> str:
    """Return an expectation in short: `get_weather(city≈Bonn) ×1`."""
    given = ", ".join(
        f"{name}{_SIGNS[match.mode]}{cut(text_of(match.value))}"
        for name, match in expected.arguments.items()
    )
    times = "" if expected.count is None else f" ×{expected.count}"
    return f"{expected.name}{f'({given})' if given else ''}{times}"

"""Which known name was probably meant by one that is not known.

Letters may be wrong, missing or in the wrong case; a name may also be a part of the one that was
meant (`budget` of `cost_budget`), or of several, which are then all told.
"""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_NEAR = 0.6
"""How alike two names are, of 1, that may be taken for each other."""

_NEARER = 0.85
"""How alike they are where a name that has the word as a part is not the better guess."""

_MOST = 3
"""Names that one hint tells at most."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, or None where none is near."""
    by_folded = {candidate.lower(): candidate for candidate in sorted(known)}
    near = get_close_matches(name.lower(), by_folded, n=1, cutoff=_NEAR)
    return by_folded[near[0]] if near else None


def meant(name: str, known: Collection[str]) -> list[str]:
    """Return the known names that may have been meant, in their own order; mostly one or none."""
    close = get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=_NEARER)
    if close:
        return [next(k for k in known if k.lower() == close[0])]
    whole = [k for k in known if name.lower() in k.lower().split("_")]
    if 0 < len(whole) <= _MOST:
        return whole
    near = nearest(name, known)
    return [near] if near is not None else []


def suggestion(name: str, known: Collection[str]) -> str:
    """Return ` Did you mean "clauses"?`, or "" where nothing known is near to the name."""
    names = meant(name, known)
    return f" Did you mean {' or '.join(_quoted(n) for n in names)}?" if names else ""


def _quoted(name: str) -> str:
    return f'"{name}"'

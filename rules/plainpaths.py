"""Expressions that only name a value: read at once, however large the value is.

CEL copies all that it is given, which for a list of 100,000 objects takes longer than any
evaluation may. Where an expression is nothing but names with dots between, its value is there
already. What has no value this way is left to CEL, which says why.
"""

import re
from collections.abc import Mapping

from contracts.base import Json

_PLAIN = re.compile(r"\s*(inputs|agents)((?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)+)\s*")


def names(source: str) -> tuple[str, ...] | None:
    """Return the names of an expression that is nothing else: ("agents", "a", "output")."""
    plain = _PLAIN.fullmatch(source)
    if plain is None:
        return None
    return (plain[1], *(name.strip() for name in plain[2].split(".")[1:]))


def lookup(
    source: str, inputs: Mapping[str, Json], agents: Mapping[str, Mapping[str, Json]]
) -> tuple[bool, Json]:
    """Return (True, the value) for `inputs.NAME` or `agents.NAME.output`, and fields of them.

    (False, None) for any other expression, and where there is no such field.
    """
    path = names(source)
    if path is None:
        return False, None
    if path[0] == "agents" and path[2:3] != ("output",):
        return False, None
    value: Json = inputs if path[0] == "inputs" else agents
    for name in path[1:]:
        if not isinstance(value, Mapping) or name not in value:
            return False, None
        value = value[name]
    return True, value

"""Expressions that only name a value: read at once, however large the value is.

CEL copies all that it is given, which for a list of 100,000 objects takes longer than any
evaluation may. Where an expression is nothing but names with dots between, its value is there
already. What has no value this way is left to CEL, which says why.
"""

import re
from collections.abc import Mapping

from contracts.base import Json

_PLAIN = re.compile(r"\s*(inputs|agents)((?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)+)\s*")


def lookup(
    source: str, inputs: Mapping[str, Json], agents: Mapping[str, Mapping[str, Json]]
) -> tuple[bool, Json]:
    """Return (True, the value) for `inputs.NAME` or `agents.NAME.output`, and fields of them.

    (False, None) for any other expression, and where there is no such field.
    """
    plain = _PLAIN.fullmatch(source)
    if plain is None:
        return False, None
    names = [name.strip() for name in plain[2].split(".")[1:]]
    if plain[1] == "agents" and (len(names) < 2 or names[1] != "output"):
        return False, None
    value: Json = inputs if plain[1] == "inputs" else agents
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            return False, None
        value = value[name]
    return True, value

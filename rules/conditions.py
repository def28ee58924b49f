"""Conditions, `set`, `gate`, `until` and `for_each.in`: CEL over inputs, agents and run.

`check` reads an expression when the team file is loaded: syntax, declared names, the fields of
outputs that have a schema, and how deeply comprehensions are nested. `evaluate` gives plain JSON
and turns everything that can go wrong into a ConditionError; it refuses what would walk over more
than 5,000 elements. `is_light` tells what may be evaluated where nothing can interrupt it.

What the library does with numbers, so that users can be told: JSON integers are `int`, others
`double`; money and seconds (`cost`, `elapsed`) are always `double`. The two compare with each
other (`score >= 8` holds for 8.5) and are equal where their values are, but they do not add:
`score + 1` fails where the score is 8.5, `double(score) + 1.0` never does. Integers beyond 64 bits
become doubles. Field by field: `null` has no fields, not even for `has`; a missing field is an
error unless `has` asks for it.
"""

import base64
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from contracts.base import Json
from rules.celcost import Cost, bound
from rules.celnames import FUNCTIONS, MAX_NESTING, METHODS, Names
from rules.schemas import Schema

if TYPE_CHECKING:
    from cel import Program

MAX_ELEMENTS = 5_000
"""Elements that an expression may walk over."""

MAX_COPIES = 1_000_000_000
"""Values that an expression may copy: minutes of work, so only to be begun where it can be
killed."""

LIGHT = Cost(walked=500, copied=200_000)
"""What surely takes less than 0.2 s."""

MAX_SIZE = 1_000
MAX_DEPTH = 100
"""Of tokens in an expression and of nesting in a value. Beyond, the library's recursion runs out
of stack and takes the process with it (measured with stacks of 512 kB: 1,000 and 400)."""


class ConditionError(ValueError):
    """An expression that is wrong, or that failed. `position` is a character offset, if known."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression and the names that it reads, in the order of their first use."""

    source: str
    agents: tuple[str, ...]
    inputs: tuple[str, ...]
    reads_run: bool


def check(
    source: str,
    inputs: Collection[str],
    agents: Collection[str],
    schemas: Mapping[str, Schema] | None = None,
) -> Expression:
    """Return the checked expression or raise its first ConditionError.

    `inputs` and `agents` are the names that may be read; `schemas` the JSON Schemas of those
    agents' outputs that have one.
    """
    found = problems(source, inputs, agents, schemas)
    if found:
        raise found[0]
    names = _names(source)
    return Expression(source, tuple(names.read_agents), tuple(names.read_inputs), names.reads_run)


def problems(
    source: str,
    inputs: Collection[str],
    agents: Collection[str],
    schemas: Mapping[str, Schema] | None = None,
) -> list[ConditionError]:
    """Return everything that is wrong with an expression. A syntax error hides the rest."""
    try:
        program = _compile(source)
    except ConditionError as error:
        return [error]
    names = Names(source, inputs, agents, schemas or {}).read()
    found = [ConditionError(said.message, said.position) for said in names.problems]
    # The parser's own list of names: nothing that it sees may have escaped the reading above.
    unseen = [name for name in program.variables() if name not in names.roots]
    if not found and unseen:
        found = [ConditionError(f'CEL: undeclared reference to "{name}"') for name in unseen]
    return found


def context(
    inputs: Mapping[str, Json],
    agents: Mapping[str, Mapping[str, Json]],
    run: Mapping[str, Json],
    expression: Expression | None = None,
) -> dict[str, Json]:
    """Return what an expression is evaluated over: {"inputs": …, "agents": …, "run": …}.

    `agents` gives status, output, cost and attempts by name. With an expression only the names
    that it reads are taken, since a large context costs time at every evaluation.
    """
    if expression is not None:
        inputs = {name: inputs[name] for name in expression.inputs if name in inputs}
        agents = {name: agents[name] for name in expression.agents if name in agents}
    return {
        "inputs": {name: _to_cel(value) for name, value in inputs.items()},
        "agents": {name: _fact(fact) for name, fact in agents.items()},
        "run": {name: float(run.get(name) or 0) for name in ("cost", "elapsed")},
    }


def evaluate(source: str, context: Mapping[str, Json]) -> Json:
    """Return an expression's value as plain JSON. Raises ConditionError.

    What JSON does not have is spelled as in protobuf's JSON: timestamps in RFC 3339, durations
    as "90s", bytes in base64.
    """
    program = _compile(source)
    values = {name: _to_cel(value) for name, value in context.items()}
    cost = _bounded(source, values)
    if cost.walked > MAX_ELEMENTS:
        raise ConditionError(
            f"CEL: may walk over {cost.walked:,} elements, {MAX_ELEMENTS:,} are the most"
        )
    if cost.copied > MAX_COPIES:
        raise ConditionError(
            f"CEL: may copy {cost.copied:,} values, since map and filter copy their result for "
            "each element: make the elements smaller or fewer"
        )
    try:
        return _to_json(program.execute(values))
    except ConditionError:
        raise
    except Exception as error:
        raise ConditionError(_explained(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ConditionError("CEL: the evaluation failed inside the library") from None


def is_light(source: str, context: Mapping[str, Json]) -> bool:
    """Does an evaluation surely take less than 0.2 s? Raises ConditionError where it is wrong.

    Anything else belongs in a process that can be killed: the library holds the interpreter's
    lock.
    """
    cost = _bounded(source, context)
    return cost.walked <= LIGHT.walked and cost.copied <= LIGHT.copied


def preload() -> None:
    """Import the CEL library now: half a second that no first evaluation should have to pay."""
    _compile("true")


def truth(value: Json) -> bool:
    """Return the value of a condition, which must be true or false."""
    if isinstance(value, bool):
        return value
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 40 else f"{shown[:39]}…"
    raise ConditionError(f"the condition gave {shown} ({kind(value)}), not true or false")


def kind(value: Json) -> str:
    """Say what a value is, as people are told: "a text"."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "an object" if isinstance(value, Mapping) else "a list"


@lru_cache(maxsize=1024)
def _compile(source: str) -> "Program":
    """Parse an expression. Importing the library takes half a second, hence only here."""
    if not source.strip():
        raise ConditionError("CEL: the expression is empty")
    size = _names(source).size
    if size > MAX_SIZE:
        raise ConditionError(f"CEL: the expression has {size:,} parts, {MAX_SIZE:,} are the most")
    import cel

    try:
        return cel.compile(source)
    except Exception as error:
        raise _syntax_error(source, str(error)) from None


@lru_cache(maxsize=1024)
def _names(source: str) -> Names:
    return Names(source).read()


def _bounded(source: str, values: Mapping[str, Json]) -> Cost:
    names = _names(source)
    if any(_depth_of(walk) > MAX_NESTING for walk in names.walks):
        raise ConditionError("CEL: one comprehension inside another is the most")
    return bound(names, values)


def _depth_of(walk: Any) -> int:
    depth = 1
    while walk.parent is not None:
        walk, depth = walk.parent, depth + 1
    return depth


def _syntax_error(source: str, text: str) -> ConditionError:
    """Shorten the parser's message: where, and what it met, without the list of all tokens."""
    found = re.search(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)", text)
    if found is None:
        return ConditionError("CEL: syntax error")
    line, column = int(found[1]), int(found[2])
    said = re.sub(r" expecting .*", "", found[3]).replace("mismatched input", "unexpected")
    said = said.replace("'<EOF>'", "end of the expression")
    lines = source.splitlines(keepends=True)
    position = min(sum(map(len, lines[: line - 1])) + column - 1, max(len(source) - 1, 0))
    where = f"line {line}, column {column}" if len(lines) > 1 else f"column {column}"
    return ConditionError(f"CEL: syntax error at {where}: {said}", position)


def _explained(error: Exception) -> str:
    """Say in the user's terms what the library's error means."""
    text = str(error)
    if isinstance(error, KeyError):
        return f'CEL: no field "{error.args[0]}" (has(…) asks whether there is one)'
    if isinstance(error, ZeroDivisionError):
        return "CEL: division by zero"
    named = re.match(r"Undefined variable or function: '(\w+)'", text)
    if named is not None and named[1] in FUNCTIONS | METHODS:
        return f"CEL: {named[1]} does not apply to this type of value (is it null?)"
    if named is not None:
        return f'CEL: undeclared reference to "{named[1]}"'
    mixed = re.match(r"Unsupported operation: ([\w ]+ \S+ [\w ]+)\.", text)
    if mixed is not None:
        return f"CEL: cannot compute {mixed[1]}: convert both with double(…), int(…) or string(…)"
    if text.startswith("No such overload"):
        return (
            "CEL: an operator, a field or a function does not fit its values' types: the output "
            "of a step that did not complete is null, and int and double only add after double(…)"
        )
    return f"CEL: {text.partition('. ')[0]}"


def _fact(fact: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "status": str(fact.get("status") or "pending"),
        "output": _to_cel(fact.get("output")),
        "cost": float(fact.get("cost") or 0),
        "attempts": int(fact.get("attempts") or 0),
    }


def _to_cel(value: Json, depth: int = 0) -> Json:
    """Copy a value with only those types in it that the library takes."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if depth >= MAX_DEPTH:
        raise ConditionError(f"CEL: a value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {str(key): _to_cel(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_cel(item, depth + 1) for item in value]
    raise ConditionError(f"CEL: a {type(value).__name__} is not JSON")


def _to_json(value: Any) -> Json:
    """Return a result of the library as plain JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConditionError("CEL: the result is not a finite number")
        return value
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {_to_key(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise ConditionError(f"CEL: the result holds a {type(value).__name__}, which is not JSON")


def _to_key(key: Any) -> str:
    return json.dumps(key) if isinstance(key, bool) else str(key)

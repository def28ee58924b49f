"""Tool calls as vendors stream them: in fragments, without arguments, with broken ones."""

import contextlib
import json
import re
from dataclasses import dataclass, field

import orjson

from contracts.messages import ToolCall
from providers.characters import whole

CUT_OFF = "the answer ended before the call's arguments did"
_LONG_NUMBER = re.compile(r"\d{19}")
_BOUNDS = range(-(2**63), 2**64)


def build_tool_call(
    call_id: str, name: str, raw: str, signature: str | None = None, cut: bool = False
) -> ToolCall:
    """Return the call with its arguments parsed.

    No arguments at all mean {}, unless the answer was `cut` off there. Anything that is no JSON
    object leaves `arguments` empty and is told in `arguments_error`: the model's mistake, which a
    caller can show to it.
    """
    raw = whole(raw)
    arguments: object = {}
    problem = None
    if raw.strip():
        try:
            arguments = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            problem = f"the arguments are no valid JSON: {error.msg} at character {error.pos}"
        else:
            if not isinstance(arguments, dict):
                problem = "the arguments are JSON, but no object"
            elif _LONG_NUMBER.search(raw) and _has_long_integer(raw):
                problem = "the arguments hold an integer beyond 64 bits: give it as a string"
    elif cut:
        problem = CUT_OFF
    return ToolCall(
        id=whole(call_id),
        name=whole(name),
        arguments=arguments if isinstance(arguments, dict) and not problem else {},
        raw_arguments=raw,
        arguments_error=problem,
        signature=signature,
    )


def _has_long_integer(raw: str) -> bool:
    """Tell whether a number would lose digits: it becomes a float, as if nothing had happened."""
    found: list[bool] = []

    def note(digits: str) -> int:
        number = int(digits[:40])
        found.append(number not in _BOUNDS)
        return 0

    with contextlib.suppress(RecursionError):
        json.loads(raw, parse_int=note)
    return any(found)


@dataclass
class ToolCallDraft:
    """A call of which fragments have arrived."""

    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    signature: str | None = None

    @property
    def raw(self) -> str:
        """The arguments so far, as text."""
        return "".join(self.pieces)

    def build(self, fallback_id: str, cut: bool = False) -> ToolCall:
        """Return the whole call; vendors that give no id get `fallback_id`."""
        return build_tool_call(self.id or fallback_id, self.name, self.raw, self.signature, cut)

"""A Gemini function call, whole or streamed in `partialArgs`.

A streamed call begins with its name and `willContinue`, goes on in parts without a name, each
with values for JSON paths (`$.items[0].name`; strings may come in pieces), and ends with a part
that does not continue, or with the next call, or with the answer.
"""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson

from contracts.messages import ToolCall
from providers.characters import whole_json
from providers.toolcalls import CUT_OFF, build_tool_call

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_VALUES = ("numberValue", "boolValue")
_LIST_LIMIT = 10_000


class CallDraft:
    """A function call being received."""

    def __init__(self, call: dict[str, Any], signature: str | None) -> None:
        self.id: str = call.get("id") or ""
        self.name: str = call.get("name") or ""
        self.signature = signature
        self._args: Any = call.get("args")
        self.add(call)

    def add(self, call: dict[str, Any]) -> None:
        """Take up one part's values."""
        self.id = self.id or call.get("id") or ""
        if isinstance(self._args, dict) and isinstance(call.get("args"), dict):
            self._args = {**self._args, **call["args"]}
        for entry in call.get("partialArgs") or ():
            if not isinstance(self._args, dict):
                self._args = {}
            _put(self._args, steps(entry.get("jsonPath") or ""), entry)

    def build(self, call_id: str, cut: bool = False) -> ToolCall:
        """Return the call under the vendor's id, or under `call_id` where it gave none.

        `cut`: the answer's end came before the call's, so that what there is of its arguments is
        no call.
        """
        raw = "" if self._args is None else orjson.dumps(whole_json(self._args)).decode()
        call = build_tool_call(self.id or call_id, self.name, raw, self.signature)
        return replace(call, arguments={}, arguments_error=CUT_OFF) if cut else call


def steps(path: str) -> list[str | int]:
    """Split a JSON path such as `$.operations[0]['a.b']` into keys and indexes."""
    found: list[str | int] = []
    for match in _STEP.finditer(path.removeprefix("$")):
        plain, index, single, double = match.groups()
        if index is not None:
            found.append(int(index))
        else:
            quoted = single if single is not None else double
            found.append(plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted))
    return found


def _put(root: dict[str, Any], path: list[str | int], entry: dict[str, Any]) -> None:
    """Set the entry's value at the path; a string is appended to what is there."""
    if not path or isinstance(path[0], int):
        return
    here: Any = root
    for step, after in pairwise(path):
        here = _child(here, step, [] if isinstance(after, int) else {})
    text = entry.get("stringValue")
    if isinstance(text, str):
        before = _child(here, path[-1], "")
        here[path[-1]] = before + text if isinstance(before, str) else text
    else:
        _child(here, path[-1], None)
        here[path[-1]] = next((entry[key] for key in _VALUES if key in entry), None)


def _child(here: Any, step: str | int, default: Any) -> Any:
    """Return what is at a step, put there if nothing is. Raises TypeError for a crooked path."""
    if isinstance(step, int):
        if not isinstance(here, list) or step > _LIST_LIMIT:
            raise TypeError("an argument's path does not fit the arguments")
        while len(here) <= step:
            here.append(None)
        if here[step] is None:
            here[step] = default
        return here[step]
    if not isinstance(here, dict):
        raise TypeError("an argument's path does not fit the arguments")
    if here.get(step) is None:
        here[step] = default
    return here[step]

"""Which part of which value an expression picks, where it does nothing but pick.

`agents.risk.output.levels.filter(r, r.level > 3)` is a part of what `risk` gave, whatever that
will be: no larger, and with no more elements. So much can be told before a run. Anything that
builds new values (`+`, literals, functions) is no part of another: None.
"""

from dataclasses import dataclass
from typing import Literal

from rules.celtokens import Token, tokens

_END = Token("operator", "", -1)
_OPENING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an input's or a step's value: along a path of fields, then some of its elements.

    `elements_of` False: an item or a field of one was read after that, so that the value is no
    selection of the list that `path` leads to.
    """

    root: Literal["inputs", "agents"]
    name: str
    path: tuple[str, ...] = ()
    elements_of: bool = True


def part_of(source: str) -> Part | None:
    """Return what an expression, accepted by `conditions.check` before, picks; else None."""
    return _Reading(tokens(source)).read()


class _Reading:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0

    def read(self) -> Part | None:
        root, dot, name = self._next(), self._next(), self._next()
        if root.text not in ("inputs", "agents") or dot.text != "." or name.kind != "name":
            return None
        if root.text == "agents" and [self._next().text, self._next().text] != [".", "output"]:
            return None
        return self._chain("inputs" if root.text == "inputs" else "agents", name.text)

    def _chain(self, root: Literal["inputs", "agents"], name: str) -> Part | None:
        """Read fields, items, `filter` and `map` to the end of the expression."""
        path: list[str] = []
        picked, elements_of = False, True
        while (token := self._next()) is not _END:
            if token.text == "[" and self._skip("]"):
                elements_of = False
                continue
            word = self._next()
            if token.text != "." or word.kind != "name":
                return None
            if self._peek().text == "(":
                if not self._picks(word.text):
                    return None
                picked = True
            elif picked or not elements_of:
                elements_of = False
            else:
                path.append(word.text)
        return Part(root, name, tuple(path), elements_of)

    def _picks(self, macro: str) -> bool:
        """Read the parentheses of `filter(x, …)` or `map(x, x.field)`; no other only picks."""
        self._next()
        variable, comma = self._next(), self._next()
        if comma.text != ",":
            return False
        if macro == "filter":
            return self._skip(")")
        if macro != "map" or self._next().text != variable.text:
            return False
        while (token := self._next()).text == ".":
            if self._next().kind != "name" or self._peek().text == "(":
                return False
        return token.text == ")"

    def _skip(self, closing: str) -> bool:
        """Read on to the end of what was opened. False where it has none."""
        waiting = [closing]
        while waiting:
            token = self._next()
            if token is _END:
                return False
            if token.kind == "operator" and token.text in _OPENING:
                waiting.append(_OPENING[token.text])
            elif token.kind == "operator" and token.text == waiting[-1]:
                waiting.pop()
        return True

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

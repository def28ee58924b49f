"""CEL source as tokens: enough to find names without mistaking strings and comments for them.

The grammar is the language definition's (github.com/google/cel-spec, "Syntax"); what this lexer
reads was accepted by the real parser before, so it never reports errors of its own.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["name", "keyword", "string", "number", "operator"]

KEYWORDS = frozenset({"true", "false", "null", "in"})

_TOKEN = re.compile(
    r"""
      (?P<space>   \s+ | //[^\n]* )
    | (?P<string>
        [bB]?[rR] (?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\n]*" | '[^'\n]*' )
      | [bB]? (?: \"{3}(?:\\[\s\S]|[^\\])*?\"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
                | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
      )
    | (?P<number>  0[xX][0-9a-fA-F]+[uU]? | (?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]? )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<operator> && | \|\| | [=!<>]= | [\s\S] )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text as written, its character offset."""

    kind: Kind
    text: str
    position: int

    @property
    def string(self) -> str:
        """What a string literal holds, escapes left as they are written."""
        body = self.text.lstrip("rRbB")
        quotes = 3 if body[:3] in ('"""', "'''") else 1
        return body[quotes:-quotes]


def tokens(source: str) -> list[Token]:
    """Return the tokens of an expression, white space and comments left out."""
    found = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind == "name":
            kind = "keyword" if match[0] in KEYWORDS else "name"
        if kind != "space":
            found.append(Token(kind, match[0], match.start()))  # type: ignore[arg-type]
    return found

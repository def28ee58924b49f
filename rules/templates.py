"""Prompt templates: `{name}`, `{name.field.0.sub}`, `{name?}` for what may be missing.

Doubled braces are literal ones. Everything else between braces is a problem that says what to
write instead, and `check` reports all problems of a text at once. A prompt file is parsed
`lenient`: its braces are literal unless `{name` is known and ends there or goes on with `.` or
`?`; there `{{name}}` is the way to write `{name}` itself.

Strategy: one scan cuts the text into literals and references; rendering joins them. `text_of` is
the one spelling of a value as text, and `bound_bytes` bounds a rendered prompt from the sizes of
such texts before any value is loaded.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from contracts.base import Json
from rules.nearest import suggestion
from rules.schemas import Schema, path_problem

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\{{({_NAME})((?:\.[A-Za-z0-9_-]+)*)(\?)?\}}")
_ESCAPED = re.compile(rf"\{{\{{({_NAME})((?:[.?][^{{}}]*)?)\}}\}}")
_BEGUN = re.compile(rf"\{{({_NAME})[.?]")
_BRACE = re.compile(r"[{}]")
_SHOWN_CHARS = 40


class TemplateError(ValueError):
    """A template that cannot be read or rendered. `position` is a character offset in it."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Reference:
    """`{name.path}` in a template; digits of the path are items of lists (or keys of objects)."""

    name: str
    path: tuple[str | int, ...]
    optional: bool
    position: int

    def __str__(self) -> str:
        dotted = ".".join([self.name, *map(str, self.path)])
        return f"{{{dotted}{'?' if self.optional else ''}}}"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literals and references in order, each reference once per occurrence.

    `literal_bytes` is the UTF-8 size of all literals.
    """

    parts: tuple[str | Reference, ...]
    references: tuple[Reference, ...]
    literal_bytes: int


def parse(
    text: str,
    known: Collection[str] | None = None,
    lenient: bool = False,
    schemas: Mapping[str, Schema] | None = None,
) -> Template:
    """Parse a template or raise its first TemplateError.

    `known` are the names that may be referred to (None: any); `schemas` the JSON Schemas of
    those values that have one, against which fields are checked.
    """
    scan = _Scan(text, known, lenient, schemas or {})
    scan.run()
    if scan.problems:
        raise scan.problems[0]
    references = tuple(part for part in scan.parts if isinstance(part, Reference))
    size = sum(_size(part) for part in scan.parts if isinstance(part, str))
    return Template(tuple(scan.parts), references, size)


def check(
    text: str,
    known: Collection[str] | None = None,
    lenient: bool = False,
    schemas: Mapping[str, Schema] | None = None,
) -> list[TemplateError]:
    """Return all problems of a text, in the order of their positions."""
    scan = _Scan(text, known, lenient, schemas or {})
    scan.run()
    return scan.problems


def render(template: Template, values: Mapping[str, Json]) -> str:
    """Return the text with every reference replaced.

    What is missing or None becomes "" where the reference is optional; otherwise TemplateError
    names the reference.
    """
    return "".join(
        part if isinstance(part, str) else _resolve(part, values) for part in template.parts
    )


def bound_bytes(template: Template, sizes: Mapping[str, int]) -> int:
    """Return an upper bound of the rendered UTF-8 size in bytes.

    `sizes` are the UTF-8 sizes of the whole values as `text_of` spells them (or longer); a field
    of a value is at most that value. An optional name without a size counts nothing; any other
    raises TemplateError.
    """
    total = template.literal_bytes
    for reference in template.references:
        if reference.name in sizes:
            total += sizes[reference.name]
        elif not reference.optional:
            raise TemplateError(f"{reference} has no size", reference.position)
    return total


def text_of(value: Json) -> str:
    """Return a value as prompts show it: strings as they are, other JSON compact.

    Decimals are spelled out without an exponent at the top, and as JSON numbers below it.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_default)


def _json_default(value: object) -> Json:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"a {type(value).__name__} is not JSON")


def value_of(reference: Reference, values: Mapping[str, Json]) -> Json:
    """Return what a reference leads to, in its own type; None where there is nothing."""
    value = values.get(reference.name)
    for key in reference.path:
        value = _step(value, key)
    return value


def _resolve(reference: Reference, values: Mapping[str, Json]) -> str:
    value = value_of(reference, values)
    if value is not None:
        return text_of(value)
    if reference.optional:
        return ""
    shown = str(reference)
    raise TemplateError(
        f"{shown} is missing: write {shown[:-1]}?}} where it may be", reference.position
    )


def _step(value: Json, key: str | int) -> Json:
    """Return a field or an item, or None where there is none."""
    if isinstance(value, Mapping):
        return value.get(str(key))
    if isinstance(value, list | tuple) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class _Scan:
    """One pass over a text: literals are gathered until a reference or a problem comes."""

    text: str
    known: Collection[str] | None
    lenient: bool
    schemas: Mapping[str, Schema]
    parts: list[str | Reference] = field(default_factory=list)
    problems: list[TemplateError] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    pairs: dict[int, int] | None = None

    def run(self) -> None:
        position = 0
        while (brace := _BRACE.search(self.text, position)) is not None:
            self.literals.append(self.text[position : brace.start()])
            here = brace.start()
            position = self.lenient_brace(here) if self.lenient else self.strict_brace(here)
        self.literals.append(self.text[position:])
        self.flush()

    def flush(self) -> None:
        literal = "".join(self.literals)
        self.literals.clear()
        if literal:
            self.parts.append(literal)

    def group_end(self, start: int) -> int | None:
        """Return the offset after the brace that closes the one at `start`, or None."""
        if self.pairs is None:
            self.pairs = _pairs(self.text)
        return self.pairs.get(start)

    def is_known(self, name: str) -> bool:
        return self.known is None or name in self.known

    def strict_brace(self, here: int) -> int:
        """Read what begins at a brace; return where to go on."""
        if self.text.startswith(("{{", "}}"), here):
            self.literals.append(self.text[here])
            return here + 2
        if self.text[here] == "}":
            self.fail('single "}": write }} for a literal brace', here)
            return here + 1
        found = _REFERENCE.match(self.text, here)
        if found is not None:
            return self.refer(found)
        end = self.group_end(here)
        if end is None:
            self.fail('"{" is never closed: write {{ for a literal brace', here)
            return here + 1
        self.fail(self.malformed(self.text[here:end]), here)
        return end

    def lenient_brace(self, here: int) -> int:
        """The same for a prompt file, where an unknown brace is a literal one."""
        escaped = _ESCAPED.match(self.text, here)
        if escaped is not None and self.is_known(escaped[1]):
            self.literals.append(self.text[here + 1 : escaped.end() - 1])
            return escaped.end()
        if self.text.startswith("{{{", here):
            return self.lenient_triple(here)
        found = _REFERENCE.match(self.text, here)
        if found is not None and self.is_known(found[1]):
            return self.refer(found)
        if self.known is not None and self.begins_known(here):
            end = self.group_end(here)
            if end is not None:
                self.fail(self.malformed(self.text[here:end]), here)
                return end
        self.literals.append(self.text[here])
        return here + 1

    def lenient_triple(self, here: int) -> int:
        """`{{{name}}}` is a value in literal braces, as it is in a strict template."""
        found = _REFERENCE.match(self.text, here + 2)
        if (
            found is None
            or not self.is_known(found[1])
            or not self.text.startswith("}}", found.end())
        ):
            self.literals.append("{")
            return here + 1
        self.literals.append("{")
        self.refer(found)
        self.literals.append("}")
        return found.end() + 2

    def begins_known(self, here: int) -> bool:
        """Does `{name.` or `{name?` of a known name begin here?"""
        begun = _BEGUN.match(self.text, here)
        return begun is not None and self.is_known(begun[1])

    def refer(self, found: re.Match[str]) -> int:
        name, here = found[1], found.start()
        if not self.is_known(name):
            self.fail(self.unknown(found[0], name), here)
            return found.end()
        path = tuple(_keys(found[2]))
        said = path_problem(self.schemas.get(name), path, name)
        if said is not None:
            self.fail(f"{found[0]}: {said}", here)
            return found.end()
        self.flush()
        self.parts.append(Reference(name, path, found[3] is not None, here))
        return found.end()

    def unknown(self, shown: str, name: str) -> str:
        known = self.known or ()
        hint = suggestion(name, known)
        if hint:
            return f"unknown name in {shown}.{hint}"
        have = f" (have: {', '.join(sorted(known))})" if known else ""
        return f"unknown name in {shown}{have}: write {{{shown}}} for literal braces"

    def malformed(self, group: str) -> str:
        """Say what is wrong with a group in braces that is no reference."""
        inner = group[1:-1].strip()
        if _REFERENCE.fullmatch(f"{{{inner}}}"):
            return f"spaces in {group}: write {{{inner}}}"
        begun = re.match(_NAME, inner)
        if begun is not None and self.known is not None and begun[0] in self.known:
            name = begun[0]
            return f"malformed reference {_short(group)}: write {{{name}}} or {{{name}.field}}"
        if len(group) > _SHOWN_CHARS or "\n" in group:
            return f"unknown name in {_short(group)}: write {{{{ and }}}} for literal braces"
        doubled = _BRACE.sub(lambda brace: brace[0] * 2, group)
        return f"unknown name in {group}: write {doubled} for literal braces"

    def fail(self, message: str, position: int) -> None:
        self.problems.append(TemplateError(message, position))


def _keys(dotted: str) -> Iterator[str | int]:
    """Yield the keys of `.field.0.sub`; "007" is a field's name, no number spells so."""
    for key in dotted.split(".")[1:]:
        is_index = key.isdigit() and (key == "0" or key[0] != "0")
        yield int(key) if is_index else key


def _pairs(text: str) -> dict[int, int]:
    """Return, for every brace that is closed, its offset and the offset after the closing one."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            pairs[opened.pop()] = brace.end()
    return pairs


def _short(group: str) -> str:
    shown = " ".join(group.split())
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[: _SHOWN_CHARS - 2]}…}}"

"""YAML 1.2 files with positions: every value knows its line, every mistake is named.

Strategy: ruamel.yaml parses to nodes; the nodes are turned into plain JSON values here, so that
lines, duplicate keys and `${VAR}` are seen where they stand. `${VAR}` and `${VAR:-default}` in
strings come from the environment, `$${` is a literal `${`; an unquoted value is read again after
that, so `max: ${ROUNDS:-3}` is a number. Keys are never expanded.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from config.problems import ConfigError, KeyPath, Problem, spell_path
from contracts.base import Json

MAX_FILE_BYTES = 5_000_000
"""Larger files are refused: what people write is smaller by far."""

MAX_VALUES = 500_000
"""Values after anchors were expanded: a bound on files made to explode."""

_TAG = "tag:yaml.org,2002:"
_SECRET = re.compile(r"(API_?KEY|SECRET|PASSWORD|PASSWD|PRIVATE_KEY|TOKEN)$", re.IGNORECASE)
_CURES = (
    (
        "expected <block end>, but found '<scalar>'",
        "a text that begins with {, [ or a quote has to be in quotes as a whole",
    ),
    ("expected <block end>", "the line's indentation fits none of those above it"),
    ("found character '\\t'", "indent with spaces, not with tabs"),
    ("found character", "a text that begins with it has to be in quotes"),
    (
        "mapping values are not allowed",
        'the line is indented too far, a text with ": " in it has '
        "no quotes, or the key above has no colon",
    ),
    ("could not find expected ':'", "a key ends with a colon and a space"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("found undefined alias", "a text that begins with * has to be in quotes"),
    ("expected alphabetic or numeric", "a text that begins with & or * has to be in quotes"),
    ("expected ',' or", "a [ or { is not closed, or a comma is missing"),
)
"""What a parser's words mostly mean to the person who wrote the file, by how they begin."""
_VARIABLE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


@dataclass
class YamlFile:
    """A file's data, and where each part of it stands.

    `lines` maps the path of each value to the line of its key, or of the list item. `blocks`
    has the line on which a block text (`|`) begins. `problems` are mistakes that did not stop
    reading: duplicate keys, undefined variables, unknown tags.
    """

    source: Path
    data: Json = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    blocks: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)

    def line(self, path: KeyPath) -> int:
        """Return the line of the value, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def respell(self, keys: Mapping[KeyPath, str]) -> None:
        """Read on as if keys had been written another way: {path of a key: what was meant}.

        The paths are of one depth. Lines stay those of what was written.
        """
        depth = len(next(iter(keys), ()))
        for path, meant in keys.items():
            holder: Any = self.data
            for part in path[:-1]:
                holder = holder[part]
            holder[meant] = holder.pop(path[-1])
        for places in (self.lines, self.blocks):
            for path in [path for path in places if path[:depth] in keys]:
                meant = keys[path[:depth]]
                places[(*path[: depth - 1], meant, *path[depth:])] = places[path]

    def problem(self, path: KeyPath, message: str, line: int | None = None) -> Problem:
        """Return a problem of this file at a path."""
        return Problem(str(self.source), line or self.line(path), spell_path(path), message)


def load_yaml(path: Path, env: Mapping[str, str]) -> YamlFile:
    """Read a file; any mistake at all raises `ConfigError`, with all that were found."""
    loaded = read_yaml(path, env)
    if loaded.problems:
        raise ConfigError(sorted(loaded.problems))
    return loaded


def read_yaml(path: Path, env: Mapping[str, str], refuse_secrets: bool = False) -> YamlFile:
    """Read a file, collecting what can be read on from in `problems`.

    `refuse_secrets`: variables that are named like secrets are not put into the data. Raises
    `ConfigError` where there is no reading on: no such file, a syntax error.
    """
    return parse_yaml(read_text(path, MAX_FILE_BYTES), path, env, refuse_secrets)


def parse_yaml(
    text: str, source: Path, env: Mapping[str, str], refuse_secrets: bool = False
) -> YamlFile:
    """Parse a text; `source` only names it in problems."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    result = YamlFile(source)
    try:
        root = yaml.compose(text)
        if root is not None:
            result.data = _Reader(yaml, result, env, refuse_secrets).read(root, ())
    except MarkedYAMLError as error:
        raise ConfigError([_syntax(error, source)]) from None
    except YAMLError as error:
        raise ConfigError([Problem(str(source), 0, "", _unreadable(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(str(source), 0, "", "nested too deeply")]) from None
    return result


def read_text(path: Path, limit: int) -> str:
    """Return a UTF-8 file's text. Every way to fail is one `ConfigError`."""
    try:
        if path.is_dir():
            raise _refused(path, "is a directory, not a file")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise _refused(path, "no such file") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror or error}") from None
    if len(data) > limit:
        raise _refused(path, f"is larger than {limit / 1e6:g} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, f"is not UTF-8: bad byte at offset {error.start}", line) from None


def _refused(path: Path, message: str, line: int = 0) -> ConfigError:
    return ConfigError([Problem(str(path), line, "", message)])


def _syntax(error: MarkedYAMLError, source: Path) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = str(error.problem or error.context or "not YAML").strip()
    if error.problem and error.context and error.context_mark:
        message += f" ({error.context} that began in line {error.context_mark.line + 1})"
    message += next((f": {cure}" for begins, cure in _CURES if message.startswith(begins)), "")
    return Problem(str(source), mark.line + 1 if mark else 0, "", f"not YAML: {message}")


def _unreadable(error: YAMLError) -> str:
    reason = getattr(error, "reason", None) or str(error).splitlines()[0]
    character = getattr(error, "character", None)
    return f"not YAML: {reason}" + (f" (character {character!r})" if character else "")


class _Reader:
    """Turns nodes into JSON values, filling in lines and problems of a `YamlFile`."""

    def __init__(
        self, yaml: Any, target: YamlFile, env: Mapping[str, str], refuse_secrets: bool
    ) -> None:
        self._resolver = yaml.resolver
        self._constructor = yaml.constructor
        self._target = target
        self._env = env
        self._refuse_secrets = refuse_secrets
        self._values = 0
        self._open: set[int] = set()

    def read(self, node: Node, path: KeyPath, line: int | None = None) -> Json:
        """Return the value of a node; `line` is its key's, where it has one."""
        self._target.lines[path] = line or node.start_mark.line + 1
        self._values += 1
        if self._values > MAX_VALUES:
            raise ConfigError([self._target.problem((), f"more than {MAX_VALUES:,} values")])
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._complain(path, "an anchor may not contain itself")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.read(item, (*path, n)) for n, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Node, path: KeyPath) -> dict[str, Json]:
        data: dict[str, Json] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if str(key_node.tag) == f"{_TAG}merge":
                merged.append(value_node)
            elif not isinstance(key_node, ScalarNode):
                self._complain(path, "a key must be a plain text", line)
            elif key_node.value in data:
                first = self._target.lines[(*path, key_node.value)]
                self._complain(path, f'"{key_node.value}" is already in line {first}', line)
            else:
                key = str(key_node.value)
                data[key] = self.read(value_node, (*path, key), line)
        for source in merged:
            self._merge(source, path, data)
        return data

    def _merge(self, node: Node, path: KeyPath, data: dict[str, Json]) -> None:
        """Take over what `<<` refers to, for keys that are not written out."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                self._complain(path, "<< must refer to a mapping", node.start_mark.line + 1)
                continue
            for key_node, value_node in source.value:
                if isinstance(key_node, ScalarNode) and key_node.value not in data:
                    key, line = str(key_node.value), key_node.start_mark.line + 1
                    data[key] = self.read(value_node, (*path, key), line)

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Json:
        if node.style == "|":
            self._target.blocks[path] = node.start_mark.line + 2
        tag, value = str(node.tag), str(node.value)
        if "${" in value:
            value = self._expand(value, path)
            if node.style is None and tag == f"{_TAG}str":
                tag = str(self._resolver.resolve(ScalarNode, value, (True, False)))
                node = ScalarNode(tag, value, node.start_mark, node.end_mark)
        return self._typed(node, tag, value, path)

    def _typed(self, node: ScalarNode, tag: str, value: str, path: KeyPath) -> Json:
        match tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return value.lower() == "true"
            case "int":
                return int(self._constructor.construct_yaml_int(node))
            case "float":
                number = float(self._constructor.construct_yaml_float(node))
                if not math.isfinite(number):
                    self._complain(path, f"{value} is not a finite number")
                return number
            case "str" | "timestamp" | "value" | "merge":
                return value
        self._complain(path, f"the tag {tag.replace(_TAG, '!!')} is not known here")
        return value

    def _expand(self, text: str, path: KeyPath) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            said = self._not_expandable(match[1], match[2])
            if said is not None:
                self._complain(path, said)
                return match[0]
            return self._env.get(match[1]) or match[2] or ""

        return _VARIABLE.sub(replace, text)

    def _not_expandable(self, name: str | None, default: str | None) -> str | None:
        """Return why a variable has no value here, or None."""
        if name is None:
            return "${ begins a variable: write ${NAME}, or $${ for the text ${"
        if self._refuse_secrets and _SECRET.search(name):
            return (
                f"{name} looks like a secret, and what this file says is stored with each run:"
                " providers read their keys from the environment by themselves"
            )
        if default is None and name not in self._env:
            return (
                f"the environment variable {name} is not set: set it, give a default"
                f" (${{{name}:-…}}), or write $${{ for the text ${{"
            )
        return None

    def _complain(self, path: KeyPath, message: str, line: int | None = None) -> None:
        self._target.broken.add(path)
        self._target.problems.append(self._target.problem(path, message, line))

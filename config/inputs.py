"""A run's inputs from the command line: typed, complete, and every mistake named at once.

`name=value` gives a value, `name=@path` a file's text, `name=@-` standard input's; `name=@@x` is
the text "@x". A JSON file gives several at once, and single ones win over it. Types: text and
string are texts, number, boolean and list are spelled as in JSON (a list also as several `name=`
of the same name), file is always a path.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import orjson

from config.problems import did_you_mean
from contracts.base import Json
from contracts.teams import InputSpec, TeamSpec
from rules.teaminputs import misfit, outside_enum

MAX_INPUT_BYTES = 100_000_000


class _Unreadable(Exception):
    """Why a single value cannot be had."""


class InputError(ValueError):
    """Inputs that a run cannot start with; `problems` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class InputValue:
    """A value, its kind as contracts.artifacts.Value has it, and the bytes to store for it."""

    value: Json
    kind: str
    data: bytes


def parse_inputs(
    team: TeamSpec,
    given: Sequence[str] = (),
    base: Path = Path(),
    file: Path | None = None,
    stdin: BinaryIO | None = None,
) -> dict[str, InputValue]:
    """Return the values of all inputs, defaults included, in the team's order.

    `given` are name=value texts, `file` a JSON object; paths are relative to `base`. Raises
    `InputError` with everything that is wrong.
    """
    reader = _Reader(team.inputs, base, stdin)
    if file is not None:
        reader.read_file(file)
    reader.read_given(given)
    return reader.finish()


def as_stored(value: Json, kind: str) -> InputValue:
    """Return a value with the bytes to store: a text's UTF-8, or JSON."""
    if kind in ("text", "string", "file") and isinstance(value, str):
        return InputValue(value, "text", value.encode())
    return InputValue(value, "json", orjson.dumps(value))


class _Reader:
    """Collects values and problems; nothing is raised before all was seen."""

    def __init__(self, specs: Mapping[str, InputSpec], base: Path, stdin: BinaryIO | None) -> None:
        self._specs = specs
        self._base = base
        self._stdin = stdin
        self._values: dict[str, Json] = {}
        self._tried: set[str] = set()
        self._problems: list[str] = []

    def read_file(self, path: Path) -> None:
        """Take over the values of a JSON object."""
        try:
            data = orjson.loads(self._bytes(str(path)))
        except orjson.JSONDecodeError as error:
            return self._give_up(f"--inputs {path}: is not JSON: {error}")
        except _Unreadable as error:
            return self._give_up(f"--inputs {error}")
        if not isinstance(data, dict):
            return self._give_up(f"--inputs {path}: must be a JSON object")
        for name, value in data.items():
            spec = self._spec(name)
            if spec is not None and spec.type == "file" and isinstance(value, str):
                self._take(name, spec, partial(self._text, value.removeprefix("@")))
            elif spec is not None:
                self._take(name, spec, partial(_itself, value))
        return None

    def read_given(self, given: Sequence[str]) -> None:
        """Take over `name=value` texts; they win over the file's."""
        texts: dict[str, list[str]] = {}
        for entry in given:
            name, equals, text = entry.partition("=")
            if equals:
                texts.setdefault(name.strip(), []).append(text)
            else:
                self._problems.append(f'--input "{entry}": write name=value or name=@path')
        for name, several in texts.items():
            spec = self._spec(name)
            if spec is not None:
                self._take(name, spec, partial(self._typed, spec, several))

    def finish(self) -> dict[str, InputValue]:
        """Return all values, or raise."""
        missing = [
            name for name, spec in self._specs.items() if spec.required and name not in self._tried
        ]
        if missing:
            listed = ", ".join(f"{name} ({self._specs[name].type})" for name in missing)
            self._problems.append(f"missing inputs: {listed}; give --input {missing[0]}=…")
        if self._problems:
            raise InputError(self._problems)
        return {
            name: as_stored(self._values.get(name, spec.default), spec.type)
            for name, spec in self._specs.items()
        }

    def _give_up(self, problem: str) -> None:
        """Note a problem that leaves it open which inputs were given."""
        self._problems.append(problem)
        self._tried.update(self._specs)

    def _spec(self, name: str) -> InputSpec | None:
        spec = self._specs.get(name)
        if spec is None:
            have = f" The team has: {', '.join(self._specs) or 'none'}."
            near = did_you_mean(name, self._specs)
            self._problems.append(f'--input {name}: no input named "{name}".{near or have}')
        return spec

    def _take(self, name: str, spec: InputSpec, read: Callable[[], Json]) -> None:
        """Keep a value that can be read and fits."""
        self._tried.add(name)
        try:
            value = read()
        except _Unreadable as error:
            self._problems.append(f"--input {name}: {error}")
            return
        is_default_null = value is None and not spec.required and spec.default is None
        wrong = misfit(spec.type, value) or outside_enum(spec, value)
        if wrong is None or is_default_null:
            self._values[name] = value
        else:
            self._problems.append(f"--input {name}: {wrong}")

    def _typed(self, spec: InputSpec, texts: list[str]) -> Json:
        """Return what texts of the command line stand for."""
        if spec.type == "list":
            return self._list(texts)
        if len(texts) > 1:
            raise _Unreadable(f"is given {len(texts)} times")
        if spec.type == "file":
            return self._text(texts[0].removeprefix("@"))
        literal = self._literal(texts[0])
        if spec.type in ("text", "string"):
            return literal
        try:
            return orjson.loads(literal)
        except orjson.JSONDecodeError:
            return literal

    def _list(self, texts: list[str]) -> Json:
        literals = [self._literal(text) for text in texts]
        if len(literals) > 1:
            return literals
        if not literals[0].lstrip().startswith("["):
            return [item.strip() for item in literals[0].split(",") if item.strip()]
        try:
            return orjson.loads(literals[0])
        except orjson.JSONDecodeError as error:
            raise _Unreadable(f"is no JSON list: {error}") from None

    def _literal(self, text: str) -> str:
        """Return a text, or the text of the file that it names."""
        if text.startswith("@@"):
            return text[1:]
        return self._text(text[1:]) if text.startswith("@") else text

    def _text(self, place: str) -> str:
        data = self._bytes(place)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _Unreadable(
                f"{_shown(place)}: is not UTF-8: bad byte at offset {error.start}"
            ) from None

    def _bytes(self, place: str) -> bytes:
        """Return the bytes of a file, or of standard input where it is named "-"."""
        try:
            if place == "-":
                data = (self._stdin or sys.stdin.buffer).read(MAX_INPUT_BYTES + 1)
            else:
                with (self._base / Path(place).expanduser()).open("rb") as stream:
                    data = stream.read(MAX_INPUT_BYTES + 1)
        except FileNotFoundError:
            raise _Unreadable(f"{place}: no such file") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise _Unreadable(f"{_shown(place)}: cannot be read: {reason}") from None
        if len(data) > MAX_INPUT_BYTES:
            raise _Unreadable(f"{_shown(place)}: is larger than {MAX_INPUT_BYTES // 10**6} MB")
        return data


def _shown(place: str) -> str:
    return "standard input" if place == "-" else place


def _itself(value: Json) -> Json:
    return value

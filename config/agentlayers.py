"""What an agent has from elsewhere: command line > file > project > user > environment > default.

Strategy: each layer is a partial mapping of the sections in `SECTIONS`, checked by itself, so
that a mistake is told with the place it stands in; then they are merged key by key. Who answers
is one choice: a layer that names a persona sets aside the provider and model of those below it,
and the other way round.

A project's layer is `callboard.yaml` in the working folder, a user's the same file in the user's
configuration folder. The environment's variables are CALLBOARD_AGENT_<SECTION>_<KEY>.
"""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import platformdirs
from pydantic import TypeAdapter, ValidationError

from config.agentmodel import SECTIONS, DefaultsFile
from config.problems import ConfigError, Problem, did_you_mean, explain
from config.yamlfile import read_yaml
from contracts.base import Json

PREFIX = "CALLBOARD_AGENT_"
DEFAULTS_NAME = "callboard.yaml"
COMMAND_LINE = "command line"
_NO_VARIABLE = frozenset({"fallback", "stop"})
"""Keys that are lists: too much for a variable."""

Layer = Mapping[str, Mapping[str, Json]]
"""Values by section and key."""


def user_defaults() -> Path:
    """Return where a user's `callboard.yaml` is looked for."""
    return platformdirs.user_config_path("callboard") / DEFAULTS_NAME


def variables() -> dict[str, tuple[str, str]]:
    """Return all variables with the section and key that they give."""
    return {
        f"{PREFIX}{section}_{key}".upper(): (section, key)
        for section, model in SECTIONS.items()
        for key in model.model_fields
        if key not in _NO_VARIABLE
    }


def file_layer(path: Path, env: Mapping[str, str]) -> Layer:
    """Return the layer of a `callboard.yaml`; empty where there is none. Raises ConfigError."""
    if not path.exists():
        return {}
    file = read_yaml(path, env, refuse_secrets=True)
    problems = list(file.problems)
    data = file.data if file.data is not None else {}
    if not isinstance(data, dict):
        raise ConfigError([file.problem((), "is a mapping with the key agent")])
    try:
        DefaultsFile.model_validate(data)
    except ValidationError as error:
        problems += [file.problem(path, said) for path, said in explain(error, DefaultsFile)]
    if problems:
        raise ConfigError(sorted(set(problems)))
    return data.get("agent") or {}


def environment_layer(env: Mapping[str, str]) -> Layer:
    """Return the layer of the environment; an empty variable counts as unset."""
    known = variables()
    problems, layer = [], dict[str, dict[str, Json]]()
    for name in sorted(env):
        if not name.startswith(PREFIX) or not env[name]:
            continue
        if name not in known:
            said = f"is no setting of agents.{did_you_mean(name, known)}"
            problems.append(Problem(name, 0, "", said))
            continue
        section, key = known[name]
        value, wrong = _typed(section, key, env[name])
        problems += [Problem(name, 0, "", said) for said in wrong]
        layer.setdefault(section, {})[key] = value
    if problems:
        raise ConfigError(problems)
    return layer


def given_layer(given: Mapping[str, Json]) -> Layer:
    """Return the layer of "model.temperature": 0.2, as the command line gives it."""
    problems, layer = [], dict[str, dict[str, Json]]()
    for name, value in given.items():
        section, _, key = name.partition(".")
        if section not in SECTIONS or key not in SECTIONS[section].model_fields:
            known = [f"{s}.{k}" for s, model in SECTIONS.items() for k in model.model_fields]
            said = f"is no setting of agents.{did_you_mean(name, known)}"
            problems.append(Problem(COMMAND_LINE, 0, name, said))
            continue
        typed, wrong = _typed(section, key, value)
        problems += [Problem(COMMAND_LINE, 0, name, said) for said in wrong]
        layer.setdefault(section, {})[key] = typed
    if problems:
        raise ConfigError(problems)
    return layer


def merged(layers: Iterable[Layer]) -> dict[str, dict[str, Json]]:
    """Return the sections of several layers, the lowest first."""
    result: dict[str, dict[str, Json]] = {section: {} for section in SECTIONS}
    for layer in layers:
        for section, values in layer.items():
            if section == "model":
                _set_aside(result["model"], values)
            result[section].update(values or {})
    return result


def _set_aside(below: dict[str, Json], above: Mapping[str, Json]) -> None:
    """Forget who would answer where a higher layer says so in the other form."""
    if above.get("persona") is not None:
        for key in ("provider", "name"):
            below.pop(key, None)
    elif above.get("provider") is not None or above.get("name") is not None:
        below.pop("persona", None)


def _typed(section: str, key: str, value: Json) -> tuple[Json, list[str]]:
    """Return a value as the key has it: a text is read as JSON where that fits."""
    field = SECTIONS[section].model_fields[key]
    annotation: Any = (
        Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    )
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    tried = [value]
    if isinstance(value, str):
        with contextlib.suppress(orjson.JSONDecodeError):
            tried.insert(0, orjson.loads(value))
    wrong: list[str] = []
    for each in tried:
        try:
            adapter.validate_python(each)
        except ValidationError as error:
            wrong = wrong or [said for _, said in explain(error, SECTIONS[section])]
        else:
            return each, []
    return value, wrong

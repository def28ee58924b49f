"""One step of a team file: what it says, as far as it can be read.

Strategy: a step with a mistake is read again without what is wrong with it, so that its names,
dependencies, conditions and prompt are held against the other steps all the same. `unread` tells
which of its keys are then not as they were written: what rests on them is not judged. A step
whose own part cannot be read at all is stood for by one that only waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from config.keys import ACCEPTED, accepted_keys, meant_key, respelt, unknown_key
from config.problems import KeyPath, explain
from config.teammodel import PROMPTS, STEP_KINDS, StepFile, WaitStepFile
from contracts.base import Json

STRUCTURE = frozenset({"name", "dependencies", "when", "catch", "for_each", "repeat", *STEP_KINDS})
"""Keys without which the rest of a file cannot be understood: misspelt, they are read anyway."""

STEP_KEYS = frozenset(key for model in STEP_KINDS.values() for key in accepted_keys(model))
"""The keys that any kind of step has."""

UNNAMED = "unnamed"
"""Stands for a name that cannot be read."""


@dataclass(frozen=True)
class ReadStep:
    """A step as far as it could be read, and what is wrong with it, by path below the step."""

    file: StepFile | None
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)
    unread: frozenset[str] = frozenset()


def misspelt(raw: Mapping[str, Json]) -> dict[str, str]:
    """Return a step's misspelt keys of `STRUCTURE`, with what was meant."""
    kinds = _kinds(raw)
    known = accepted_keys(STEP_KINDS[kinds[0]]) if len(kinds) == 1 else sorted(STEP_KEYS)
    wanted = STRUCTURE - raw.keys() - (STEP_KINDS.keys() if kinds else set())
    return respelt([key for key in raw if key not in STEP_KEYS], known, wanted)


def read_step(raw: Json, defaults: Mapping[str, Json]) -> ReadStep:
    """Return what a step of a file says, over the team's defaults."""
    if not isinstance(raw, dict):
        return ReadStep(None, [((), "a step is a mapping with a name and what it does")])
    kinds = _kinds(raw)
    if len(kinds) != 1:
        return _read_common(raw, kinds)
    model = STEP_KINDS[kinds[0]]
    whole = _with_defaults(raw, defaults, model)
    try:
        return ReadStep(model.model_validate(whole))
    except ValidationError as error:
        found = explain(error, model)
    problems = [(place, _for_kind(place, message, model)) for place, message in found]
    places = [place for place, _ in found]
    kept = _without(whole, places)
    try:
        file: StepFile | None = model.model_validate(kept)
    except ValidationError:
        file = _stand_in(kept)
    return ReadStep(file, problems, frozenset(str(place[0]) for place in places if place))


def _kinds(raw: Mapping[str, Json]) -> list[str]:
    keys = [key for key in raw if key in STEP_KINDS]
    return [key for key in keys if key not in PROMPTS] if "agent" in keys else keys


def _read_common(raw: Mapping[str, Json], kinds: list[str]) -> ReadStep:
    """Return a step of no kind, or of several, with what is wrong with the keys all steps have."""
    said = f"has {' and '.join(kinds)}" if kinds else "does nothing"
    problems: list[tuple[KeyPath, str]] = [
        ((), f"{said}: a step has exactly one of {', '.join(STEP_KINDS)}")
    ]
    known = sorted(STEP_KEYS)
    unknown = [key for key in raw if key not in known]
    problems += [((key,), unknown_key(key, known)) for key in unknown if meant_key(key, known)]
    common = {key: raw[key] for key in accepted_keys(StepFile) if key in raw}
    wrong: list[tuple[KeyPath, str]] = []
    try:
        WaitStepFile.model_validate({**common, "wait": 1.0})
    except ValidationError as error:
        wrong = explain(error, WaitStepFile)
    unread = {str(place[0]) for place, _ in wrong if place}
    return ReadStep(_stand_in(raw), problems + wrong, frozenset({*STEP_KINDS, *unread}))


def _with_defaults(
    raw: Mapping[str, Json], defaults: Mapping[str, Json], model: type[StepFile]
) -> dict[str, Json]:
    """Return a step over the defaults that it can have; llm_config is merged key by key."""
    accepted = accepted_keys(model)
    merged: dict[str, Json] = {key: defaults[key] for key in defaults if key in accepted}
    merged.update(raw)
    ours, theirs = defaults.get("llm_config"), raw.get("llm_config")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        merged["llm_config"] = {**ours, **theirs}
    return merged


def _without(raw: Mapping[str, Json], places: list[KeyPath]) -> dict[str, Any]:
    """Return a step without its wrong keys; of its dependencies only without the wrong ones."""
    wrong = {place[0] for place in places if place}
    kept = {key: value for key, value in raw.items() if key not in wrong}
    needed = raw.get("dependencies")
    if "dependencies" in wrong and isinstance(needed, list):
        bad = {place[1] for place in places if place[0] == "dependencies" and len(place) > 1}
        kept["dependencies"] = [one for n, one in enumerate(needed) if n not in bad]
    return {"name": UNNAMED, **kept}


def _stand_in(raw: Mapping[str, Json]) -> StepFile | None:
    """Return a step that has only what all steps have."""
    common = {key: raw[key] for key in accepted_keys(StepFile) if key in raw}
    try:
        return WaitStepFile.model_validate({"name": UNNAMED, **common, "wait": 1.0})
    except ValidationError as error:
        common = _without(common, [path for path, _ in explain(error, WaitStepFile)])
    try:
        return WaitStepFile.model_validate({**common, "wait": 1.0})
    except ValidationError:
        return None


def _for_kind(place: KeyPath, message: str, model: type[StepFile]) -> str:
    """Say of a key that other kinds of step have that this kind has not."""
    if len(place) == 1 and message.startswith("unknown key") and place[0] in STEP_KEYS:
        kind = next(key for key, owner in STEP_KINDS.items() if owner is model)
        accepted = ", ".join(accepted_keys(model))
        return f'"{place[0]}" does not apply to a step with {kind}.{ACCEPTED}{accepted}'
    return message

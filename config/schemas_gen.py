"""Write the JSON Schemas of the team file and the agent file: `python -m config.schemas_gen`.

They come from the files' own models, so that editors show what the loader accepts; a test
fails when a file in `config/schemas/` is stale.
"""

import json
from pathlib import Path
from typing import Any

from config.agentmodel import AgentFile
from config.teammodel import TeamFile

TARGET = Path(__file__).parent / "schemas" / "team.schema.json"
AGENT_TARGET = TARGET.with_name("agent.schema.json")


def team_schema() -> dict[str, Any]:
    """Return the schema, with titles that read well in an editor."""
    schema = TeamFile.model_json_schema(by_alias=True)
    for name, definition in schema.get("$defs", {}).items():
        definition["title"] = _title(name)
    _model_step(schema["$defs"]["ModelStepFile"])
    _tidy(schema)
    _fillable(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Callboard team",
    }


def agent_schema() -> dict[str, Any]:
    """Return the agent file's schema. Who answers may come from elsewhere than the file."""
    schema = AgentFile.model_json_schema(by_alias=True)
    for name, definition in schema.get("$defs", {}).items():
        definition["title"] = _title(name)
    _tidy(schema)
    _fillable(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Callboard agent",
    }


def render(schema: dict[str, Any] | None = None) -> str:
    """Return a schema's text, the team's if none is given."""
    return json.dumps(schema or team_schema(), indent=2, ensure_ascii=False) + "\n"


def _title(name: str) -> str:
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name.removesuffix("File"))
    return words.strip().capitalize()


def _tidy(node: Any) -> None:
    """Spell money as numbers, close mappings of names, and leave out defaults of nothing."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    if node.get("type") == "number" and isinstance(node.get("default"), str):
        node["default"] = float(node["default"])
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if "default" in node and node["default"] is None:
        del node["default"]
    for value in node.values():
        _tidy(value)


VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_]"}
"""What `${VAR}` is for an editor, which does not fill it in."""

_OF_A_FIELD = frozenset({"title", "description", "default"})
_NO_TEXT = frozenset({"number", "integer", "boolean"})


def _fillable(node: Any) -> None:
    """Let a variable stand wherever a number, a truth value or one of some words is wanted."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list):
            _fillable(value)
    if isinstance(node, dict) and isinstance(node.get("properties"), dict):
        node["properties"] = {key: _or_variable(one) for key, one in node["properties"].items()}


def _or_variable(wanted: dict[str, Any]) -> dict[str, Any]:
    forms = wanted.get("anyOf", [wanted])
    if not any(form.get("type") in _NO_TEXT or "enum" in form for form in forms):
        return wanted
    told = {key: value for key, value in wanted.items() if key in _OF_A_FIELD}
    bare = [{key: value for key, value in form.items() if key not in told} for form in forms]
    return {**told, "anyOf": [*bare, VARIABLE]}


def _model_step(definition: dict[str, Any]) -> None:
    """A model step has one of the two keys that give its prompt."""
    definition["oneOf"] = [{"required": ["prompt_template"]}, {"required": ["prompt_file"]}]


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    AGENT_TARGET.write_text(render(agent_schema()), encoding="utf-8")

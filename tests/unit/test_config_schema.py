"""The JSON Schema is fresh, and agrees with the loader about what a team file is."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config import schemas_gen
from config.teamfile import TeamFileError, load_team
from config.teammodel import STEP_KINDS, ModelStepFile, TeamHead
from config.yamlfile import load_yaml
from contracts.teams import ModelStep, TeamSpec

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
CONTRACT_REVIEW = Path(__file__).parent / "data" / "contract-review.yaml"
EXAMPLES = sorted(
    path for path in (ROOT / "examples").rglob("*.yaml") if "team.schema.json" in path.read_text()
)


def errors(data: Any) -> list[str]:
    schema = schemas_gen.team_schema()
    Draft202012Validator.check_schema(schema)
    return [error.message for error in Draft202012Validator(schema).iter_errors(data)]


def test_the_schema_is_fresh() -> None:
    assert schemas_gen.TARGET.read_text(encoding="utf-8") == schemas_gen.render(), (
        "run python -m config.schemas_gen"
    )


def test_every_key_of_the_specification_is_in_the_schema() -> None:
    schema = schemas_gen.team_schema()
    assert errors(load_yaml(CONTRACT_REVIEW, {}).data) == []
    kinds = {key for name in schema["$defs"] for key in schema["$defs"][name]["properties"]}
    assert {*STEP_KINDS, "for_each", "repeat", "catch", "fallback"} <= kinds


@pytest.mark.parametrize(
    "step",
    [
        {"name": "a"},
        {"name": "a", "set": "1", "gate": "1"},
        {"name": "a", "prompt_template": "x", "prompt_file": "y"},
        {"name": "a b", "set": "1"},
        {"name": "a", "set": "1", "priority": 11},
        {"name": "a", "set": "1", "persona": "x"},
        {"name": "a", "prompt_template": "x", "cost_limit": 0},
        {"name": "a", "prompt_template": "x", "module": "Sales"},
        {"name": "a", "prompt_template": "x", "output": "yaml"},
        {"name": "a", "prompt_template": "x", "llm_config": {"modle": "x"}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(step: dict[str, Any], tmp_path: Path) -> None:
    assert errors({"name": "t", "agents": [step]})
    path = tmp_path / "t.yaml"
    path.write_text(f"name: t\nagents: [{step!r}]\n")
    with pytest.raises(TeamFileError):
        load_team(path, {})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_load_and_fit_the_schema(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == schemas_gen.TARGET
    assert load_team(path, {}).team.agents
    assert errors(load_yaml(path, {}).data) == []


def test_there_is_an_example() -> None:
    assert "hello.yaml" in [path.name for path in EXAMPLES]


@pytest.mark.parametrize(
    ("model", "contract", "renamed"),
    [
        (ModelStepFile, ModelStep, {"prompt_file", "output", "llm_config", "dependencies"}),
        (TeamHead, TeamSpec, {"defaults"}),
    ],
)
def test_D3_the_file_s_defaults_are_the_contracts(
    model: Any, contract: Any, renamed: set[str]
) -> None:
    for name, field in model.model_fields.items():
        if name in renamed or field.is_required() or name == "prompt_template":
            continue
        other = contract.model_fields[name].default
        ours = tuple(field.default) if isinstance(field.default, list) else field.default
        assert ours == other, name

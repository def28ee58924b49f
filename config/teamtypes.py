"""Values of the team file: names, durations, money, conditions, schemas, tools.

Each type says in its error what it accepts. All are strict: a quoted number is a text, and `yes`
is no boolean in YAML 1.2.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema

from contracts.money import MOST_DOLLARS, misfit
from providers.toolspecs import tool_definition

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
DEPENDENCY_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}\??$"
LONGEST_S = 315_360_000.0
"""Ten years: what is longer is a mistake, and no clock counts without end."""

EXPRESSION_CHARS = 4000
"""Conditions travel in the plan's pages, so they have a bound."""

_CEL_WORDS = {"in", "true", "false", "null"}


def check_name(name: str) -> str:
    """Return a step's or an input's name, or say what a name may look like."""
    if not name.isascii() or not name.isidentifier() or len(name) > 64:
        raise ValueError(
            f'"{name}" is no name: use letters, digits and _, no digit first, 64 at most'
        )
    if name in _CEL_WORDS:
        raise ValueError(f'"{name}" is a word of the condition language: choose another name')
    return name


def _check_dependency(text: str) -> str:
    check_name(text.removesuffix("?"))
    return text


def _dollars(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"must be a number of dollars, not {value!r}")
    return value


def _check_dollars(amount: Decimal) -> Decimal:
    wrong = misfit(amount) if amount > 0 else None  # the field's own bound tells of the rest
    if wrong is not None:
        raise ValueError(wrong)
    return amount


def _check_schema(schema: dict[str, Any]) -> dict[str, Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        raise ValueError(
            f"is no JSON Schema: {place + ': ' if place else ''}{error.message}"
        ) from None
    return schema


def check_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Return a tool that can be sent, or say what it lacks."""
    try:
        tool_definition(tool)
    except ValueError as error:
        raise ValueError(str(error).splitlines()[-1].strip()) from None
    return tool


def check_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tools of different names, or name the one that is there twice."""
    names = [tool_definition(tool).name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'there are two tools "{twice}"')
    return tools


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


Name = Annotated[
    str,
    Strict(),
    AfterValidator(check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
Dependency = Annotated[
    str,
    Strict(),
    AfterValidator(_check_dependency),
    WithJsonSchema({"type": "string", "pattern": DEPENDENCY_PATTERN}),
]
Text = Annotated[str, Strict()]
FilledText = Annotated[
    str, Strict(), AfterValidator(_text), Field(json_schema_extra={"minLength": 1})
]
Expression = Annotated[str, Strict(), AfterValidator(_text), Field(max_length=EXPRESSION_CHARS)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Seconds = Annotated[float, Strict(), Field(gt=0, le=LONGEST_S)]
Flag = Annotated[bool, Strict()]
Dollars = Annotated[
    Decimal,
    Field(gt=0),
    BeforeValidator(_dollars),
    AfterValidator(_check_dollars),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": int(MOST_DOLLARS)}),
]
Module = Literal["HR", "Finance", "Inventory", "Compliance", "General"]
OnInterrupt = Literal["restart", "continue"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Schema = Annotated[dict[str, Any], AfterValidator(_check_schema)]
Tool = Annotated[dict[str, Any], AfterValidator(check_tool)]
Tools = Annotated[list[Tool], AfterValidator(check_tools)]
FieldType = Literal["string", "integer", "number", "boolean", "array", "object"]

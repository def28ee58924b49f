"""A Python function as a tool: its arguments' JSON Schema, and calling it with JSON.

Strategy: pydantic makes a model of the parameters, so that type hints mean what they mean
everywhere (dates, enums, nested models, defaults), and JSON arguments become what the function
wants. Descriptions are read from the docstring in any of its usual styles. The model's fields
have names of our own and the parameters' as aliases, since a parameter may be called anything.
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from docstring_parser import DocstringStyle, ParseError, parse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from toolbox.context import ToolContext
from toolbox.exceptions import BadArguments

KEY_PARAMETER = "idempotency_key"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class NoTool(Exception):
    """A function that no schema can be made of; the text says which parameter and why."""


@dataclass(frozen=True)
class FunctionSignature:
    """What a model is told of a function, and how to call it."""

    description: str
    schema: dict[str, Any]
    arguments: type[BaseModel]
    hidden: dict[str, bool]

    def bind(self, raw: bytes | str, context: ToolContext) -> dict[str, Any]:
        """Return the function's keyword arguments. Raises BadArguments."""
        try:
            parsed = self.arguments.model_validate_json(raw)
        except ValidationError as error:
            raise BadArguments([_said(item) for item in error.errors()[:8]]) from None
        bound = {
            field.alias: getattr(parsed, name)
            for name, field in self.arguments.model_fields.items()
            if name in parsed.model_fields_set and field.alias is not None
        }
        for name, is_context in self.hidden.items():
            bound[name] = context if is_context else context.idempotency_key
        return bound


def read_function(function: Callable[..., Any]) -> FunctionSignature:
    """Return a function's signature as a tool's. Raises NoTool."""
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise NoTool(f"its signature cannot be read: {error}") from None
    description, told = _documented(function)
    fields: dict[str, Any] = {}
    hidden: dict[str, bool] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind not in _BY_NAME:
            raise NoTool(f"parameter {parameter}: a model can only give arguments by name")
        annotation = hints.get(name, Any)
        if annotation is ToolContext or name == KEY_PARAMETER:
            hidden[name] = annotation is ToolContext
            continue
        fields[f"p{len(fields)}"] = (annotation, _field(name, parameter, told.get(name)))
    return FunctionSignature(description, *_model(fields), hidden)


def _field(name: str, parameter: inspect.Parameter, told: str | None) -> Any:
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    return Field(default, alias=name, description=told)


def _model(fields: dict[str, Any]) -> tuple[dict[str, Any], type[BaseModel]]:
    config = ConfigDict(extra="forbid", protected_namespaces=())
    try:
        model = create_model("Arguments", __config__=config, **fields)
        schema = model.model_json_schema(by_alias=True)
    except (PydanticUserError, TypeError, NameError) as error:
        said = str(error).splitlines()[0]
        raise NoTool(f"no schema can be made of its parameters: {said}") from None
    schema.setdefault("properties", {})
    schema.pop("title", None)
    for entry in schema["properties"].values():
        entry.pop("title", None)
    return schema, model


def _documented(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a docstring's description and what it says of each parameter."""
    text = inspect.getdoc(function) or ""
    try:
        parsed = parse(text, style=DocstringStyle.AUTO)
    except ParseError:
        return text, {}
    told = {p.arg_name: " ".join((p.description or "").split()) for p in parsed.params}
    return (parsed.description or "").strip(), {name: said for name, said in told.items() if said}


def _said(item: Any) -> str:
    where = ".".join(map(str, item["loc"])) or "arguments"
    return f"{where}: {item['msg']}"

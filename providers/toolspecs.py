"""Tools as JSON Schema, from the seed's parameter lists or from the usual dictionaries."""

from typing import Any

from contracts.messages import ToolDefinition


def parameters_schema(tool: ToolDefinition) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments: type object, properties, required."""
    if tool.schema is not None:
        return tool.schema
    properties: dict[str, Any] = {}
    for parameter in tool.parameters:
        entry: dict[str, Any] = {"type": parameter.type}
        if parameter.description:
            entry["description"] = parameter.description
        if parameter.enum is not None:
            entry["enum"] = list(parameter.enum)
        properties[parameter.name] = entry
    return {
        "type": "object",
        "properties": properties,
        "required": [p.name for p in tool.parameters if p.required],
    }


def tool_definition(tool: dict[str, Any]) -> ToolDefinition:
    """Read a tool written as a dictionary: ours, or {"type": "function", "function": {…}}.

    Raises `ValueError` when it has no name or its parameters are no JSON Schema object.
    """
    body = tool.get("function", tool)
    if not body.get("name"):
        raise ValueError("a tool needs a name")
    parameters = body.get("parameters") or body.get("input_schema") or {}
    if isinstance(parameters, list):
        return ToolDefinition(body["name"], body.get("description") or "", parameters)
    if not isinstance(parameters, dict):
        raise ValueError(f"tool {body['name']}: parameters must be a JSON Schema object")
    schema = parameters or {"type": "object", "properties": {}}
    return ToolDefinition(body["name"], body.get("description") or "", schema=schema)

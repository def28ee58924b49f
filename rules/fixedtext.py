"""The size of a request's fixed text: what is in it whatever the prompt says."""

import json
from typing import Any

from contracts.plans import PersonaProfile
from contracts.teams import ModelStep

TOOLS_ALLOWANCE = 640
"""Tokens of the vendor's own instructions for tools, or for JSON by means of a tool (Anthropic
documents up to 530)."""


def fixed_bytes(step: ModelStep, profile: PersonaProfile) -> int:
    """Return an upper bound of the tokens of everything that is not the prompt's own text."""
    total = len((step.llm_config.system or profile.system or "").encode())
    if step.tools:
        total += TOOLS_ALLOWANCE + sum(_tool_bytes(tool) for tool in step.tools)
    if step.output.kind == "json":
        total += TOOLS_ALLOWANCE + _json_bytes(step.output.schema_ or {})
    return total


def _tool_bytes(tool: dict[str, Any]) -> int:
    """Bound a tool as it is sent: a list of parameters becomes a schema that repeats names."""
    body = tool.get("function", tool)
    parameters = body.get("parameters") if isinstance(body, dict) else None
    repeated = parameters if isinstance(parameters, list) else []
    return 64 + _json_bytes(tool) + sum(_json_bytes(p) for p in repeated)


def _json_bytes(value: Any) -> int:
    """Return the size of JSON in its longest usual spelling."""
    return len(json.dumps(value, indent=2))

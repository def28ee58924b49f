"""Tool calls as vendors stream them: in fragments, without arguments, with broken ones."""

from dataclasses import dataclass, field

import orjson

from contracts.messages import ToolCall


def build_tool_call(call_id: str, name: str, raw: str, signature: str | None = None) -> ToolCall:
    """Return the call with its arguments parsed.

    No arguments at all mean {}. Anything that is no JSON object leaves `arguments` empty and is
    told in `arguments_error`: the model's mistake, which a caller can show to it.
    """
    arguments: object = {}
    problem = None
    if raw.strip():
        try:
            arguments = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            problem = f"the arguments are no valid JSON: {error.msg} at character {error.pos}"
        else:
            if not isinstance(arguments, dict):
                problem = "the arguments are JSON, but no object"
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments if isinstance(arguments, dict) and not problem else {},
        raw_arguments=raw,
        arguments_error=problem,
        signature=signature,
    )


@dataclass
class ToolCallDraft:
    """A call of which fragments have arrived."""

    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    signature: str | None = None

    @property
    def raw(self) -> str:
        """The arguments so far, as text."""
        return "".join(self.pieces)

    def build(self, fallback_id: str) -> ToolCall:
        """Return the whole call; vendors that give no id get `fallback_id`."""
        return build_tool_call(self.id or fallback_id, self.name, self.raw, self.signature)

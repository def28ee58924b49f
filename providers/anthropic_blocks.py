"""One content block of an Anthropic message, put together from its start and its deltas."""

from typing import Any

import orjson

from contracts.messages import ToolCall
from providers.toolcalls import CUT_OFF, build_tool_call

_PLAIN = frozenset(("text", "tool_use"))


class Block:
    """A block on its way: `texts` are the pieces of its text or thought, `json` of its input."""

    __slots__ = (
        "_citations",
        "_signature",
        "json",
        "kind",
        "start",
        "texts",
    )

    def __init__(self, start: dict[str, Any]) -> None:
        self.kind: str = start.get("type") or ""
        self.start = start
        self.json: list[str] = []
        first = start.get(self._text_key)
        self.texts: list[str] = [first] if isinstance(first, str) and first else []
        self._citations: list[Any] = list(start.get("citations") or ())
        self._signature: str = start.get("signature") or ""

    @property
    def _text_key(self) -> str:
        if self.kind == "compaction":
            return "content"
        return "thinking" if self.kind == "thinking" else "text"

    @property
    def is_opaque(self) -> bool:
        """The block, or part of it, cannot be rebuilt from an answer's text and tool calls."""
        if self.kind == "tool_use":
            caller = self.start.get("caller") or {}
            return bool(caller.get("type", "direct") != "direct")
        return self.kind not in _PLAIN or bool(self._citations)

    @property
    def has_input(self) -> bool:
        """Some of a call's arguments have come."""
        return any(self.json) or bool(self.start.get("input"))

    def apply(self, kind: str | None, delta: dict[str, Any]) -> None:
        """Take up a delta that shows nothing; kinds not known here are left out."""
        if kind == "input_json_delta":
            self.json.append(delta.get("partial_json") or "")
        elif kind == "signature_delta":
            self._signature = delta.get("signature") or self._signature
        elif kind == "citations_delta":
            self._citations.append(delta.get("citation"))
        elif kind == "compaction_delta":
            self.texts.append(delta.get("content") or "")

    def tool_call(self, fallback_id: str, name: str, cut: bool) -> ToolCall:
        """Return the whole call. `cut`: the answer's end came before the block's."""
        raw = self._raw_input()
        call = build_tool_call(self.start.get("id") or fallback_id, name, raw)
        if raw or not cut:
            return call
        return ToolCall(
            id=call.id,
            name=call.name,
            raw_arguments=raw,
            arguments_error=CUT_OFF,
        )

    def whole(self) -> dict[str, Any]:
        """Return the block as the vendor would have sent it in one piece."""
        block = {key: value for key, value in self.start.items() if value is not None}
        if self.kind in ("text", "thinking", "compaction"):
            block[self._text_key] = "".join(self.texts)
        if self._signature:
            block["signature"] = self._signature
        if self._citations:
            block["citations"] = self._citations
        if self.json:
            block["input"] = self._input()
        return block

    def _raw_input(self) -> str:
        """Arguments as JSON text: streamed ones, else those that the block began with."""
        streamed = "".join(self.json)
        given = self.start.get("input")
        return streamed or (orjson.dumps(given).decode() if given else "")

    def _input(self) -> Any:
        raw = self._raw_input()
        try:
            return orjson.loads(raw) if raw else {}
        except orjson.JSONDecodeError:
            return {}

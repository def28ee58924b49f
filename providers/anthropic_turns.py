"""A conversation as Anthropic's `messages`: who said what, calls and their results, files.

Roles alternate on the wire, so turns of one role are merged; the results of one turn's calls
stand first in the user turn that follows them. Ids and names of another vendor's calls are
replaced where Anthropic would not take them: ids by ones that are valid and unique in the
request, the same for a call and its result. A turn that Claude itself wrote is sent back as it
came (`vendor_state`), so that signed thoughts and server tools stay valid.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from contracts.messages import Message, ToolCall
from contracts.parts import FileInlinePart, FileRefPart, Part, TextPart
from providers.exceptions import InvalidRequest

Block = dict[str, Any]
Turn = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]")
_IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_THOUGHTS = frozenset(("thinking", "redacted_thinking"))
_OPENING = "(The conversation begins with your turn.)"


def wire_name(name: str) -> str:
    """Return a tool's name as Anthropic takes it: without dots."""
    return _NOT_IN_NAME.sub("_", name)


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Return the conversation without its system texts. Raises `InvalidRequest`."""
    ids = _Ids()
    found: list[Turn] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, ids)
        if blocks and found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        elif blocks:
            found.append({"role": role, "content": blocks})
    for turn in found:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _trim_prefill(found)
    if found and found[0]["role"] == "assistant":
        found.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
    return found


def called_tools(found: Iterable[Turn]) -> list[str]:
    """Return the names of all tools that the conversation has calls of, in order."""
    names = (
        block["name"] for turn in found for block in turn["content"] if block["type"] == "tool_use"
    )
    return list(dict.fromkeys(names))


def is_mid_loop_without_thought(found: list[Turn]) -> bool:
    """Tell whether results follow on calls that came without Claude's own thoughts before them."""
    if len(found) < 2 or not any(b["type"] == "tool_result" for b in found[-1]["content"]):
        return False
    return found[-2]["content"][0]["type"] not in _THOUGHTS


class _Ids:
    """Maps the conversation's call ids to valid ones, unique within the request."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._used: set[str] = set()

    def of_call(self, call_id: str) -> str:
        """Return the id for a call; one that was used before gets another."""
        wire = _valid(call_id)
        number = 2
        while wire in self._used:
            wire = f"{_valid(call_id)[:56]}_{number}"
            number += 1
        self._used.add(wire)
        self._now[call_id] = wire
        return wire

    def of_result(self, call_id: str) -> str:
        """Return the id that the last call of this id was given."""
        return self._now.get(call_id) or _valid(call_id)


def _valid(call_id: str) -> str:
    if _ID.fullmatch(call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:24]


def _blocks(message: Message, ids: _Ids) -> list[Block]:
    if message.role == "tool":
        return [_result(message, ids)]
    if message.role == "user":
        return [*map(part_block, message.parts), *_text(message.content)]
    own = _own_blocks(message)
    if own is not None:
        for block in own:
            if block["type"] == "tool_use":
                block["id"] = ids.of_call(block["id"])
        return own
    texts = [*map(part_block, message.parts), *_text(message.content)]
    return texts + [_call(call, ids) for call in message.tool_calls]


def _text(text: str) -> list[Block]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _call(call: ToolCall, ids: _Ids) -> Block:
    return {
        "type": "tool_use",
        "id": ids.of_call(call.id),
        "name": wire_name(call.name),
        "input": call.arguments,
    }


def _result(message: Message, ids: _Ids) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": ids.of_result(message.tool_call_id or "")}
    content = _text(message.content) + [part_block(part) for part in message.parts]
    if content:
        block["content"] = content
    return block


def _own_blocks(message: Message) -> list[Block] | None:
    """The turn as Claude sent it, if this is one of its own and was not edited since."""
    state = message.vendor_state or {}
    content = state.get("content")
    if state.get("vendor") != "anthropic" or not isinstance(content, list):
        return None
    text = "".join(block["text"] for block in content if block["type"] == "text")
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    if text != message.content or calls != [call.id for call in message.tool_calls]:
        return None
    return [dict(block) for block in content if _is_sendable(block)]


def _is_sendable(block: Block) -> bool:
    """Blocks that the API would refuse to take back: empty texts, thoughts without a signature."""
    if block["type"] == "text":
        return bool(block["text"].strip())
    if block["type"] == "thinking":
        return bool(block.get("signature"))
    return bool(block["type"] != "fallback")


def _trim_prefill(found: list[Turn]) -> None:
    """The API refuses a last assistant text that ends in white space."""
    if not found or found[-1]["role"] != "assistant":
        return
    last = found[-1]["content"][-1]
    if last["type"] == "text":
        last["text"] = last["text"].rstrip()


def part_block(part: Part) -> Block:
    """Return the block for a text or a file. Raises `InvalidRequest` for other kinds of files."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    mime = part.mime_type.lower().split(";")[0].strip()
    if mime in _IMAGES:
        return {"type": "image", "source": _source(part, mime)}
    if mime == "application/pdf" or mime.startswith("text/") or mime == "application/json":
        block: Block = {"type": "document", "source": _source(part, mime)}
        if part.name:
            block["title"] = part.name[:255]
        return block
    raise InvalidRequest(
        f"anthropic reads images (jpeg, png, gif, webp), PDF and text, not {mime}",
        provider="anthropic",
        sent=False,
    )


def _source(part: FileInlinePart | FileRefPart, mime: str) -> Block:
    if isinstance(part, FileRefPart):
        if part.uri.startswith("https://"):
            return {"type": "url", "url": part.uri}
        if part.uri.startswith("file_"):
            return {"type": "file", "file_id": part.uri}
        scheme = part.uri.split(":")[0][:20] if ":" in part.uri else "another vendor's id"
        raise InvalidRequest(
            f"anthropic takes files by https URL or by the id of its own upload (file_…), "
            f"not by {scheme}",
            provider="anthropic",
            sent=False,
        )
    if mime in _IMAGES or mime == "application/pdf":
        data = base64.b64encode(part.data).decode()
        return {"type": "base64", "media_type": mime, "data": data}
    text = part.data.decode("utf-8", "replace")
    return {"type": "text", "media_type": "text/plain", "data": text}

"""A conversation as Gemini's `contents`: who said what, calls and their results, files.

Turns of one role are merged. A turn that Gemini itself wrote is sent back as it came
(`vendor_state`), so that thought signatures stay valid. Calls that another vendor's model made
have no signature; models that insist on one take the placeholder that Google documents for
histories from elsewhere.
"""

import base64
from collections.abc import Iterable
from typing import Any

from contracts.messages import Message, ToolCall
from contracts.parts import FileRefPart, Part, TextPart
from providers.exceptions import InvalidRequest

Json = dict[str, Any]

UNSIGNED = "skip_thought_signature_validator"
"""Stands where a call of another model has no signature."""


def contents(messages: Iterable[Message], signed_calls: bool) -> list[Json]:
    """Return the conversation without its system texts. Raises `InvalidRequest`.

    `signed_calls`: the model refuses calls in the history that carry no signature.
    """
    names: dict[str, str] = {}
    found: list[Json] = []
    for message in messages:
        if message.role == "system":
            continue
        names |= {call.id: call.name for call in message.tool_calls}
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, names, signed_calls)
        if parts and found and found[-1]["role"] == role:
            found[-1]["parts"] += parts
        elif parts:
            found.append({"role": role, "parts": parts})
    return found


def _parts(message: Message, names: dict[str, str], signed_calls: bool) -> list[Json]:
    if message.role == "tool":
        return [_result(message, names), *map(part_json, message.parts)]
    own = _own_parts(message) if message.role == "assistant" else None
    if own is not None:
        return own
    parts = [*map(part_json, message.parts), *_text(message.content)]
    calls = [_call(call, message) for call in message.tool_calls]
    # The first of parallel calls carries the signature for all of them.
    if calls and signed_calls and "thoughtSignature" not in calls[0]:
        calls[0]["thoughtSignature"] = UNSIGNED
    return parts + calls


def _text(text: str) -> list[Json]:
    return [{"text": text}] if text else []


def _call(call: ToolCall, message: Message) -> Json:
    part: Json = {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
    vendor = (message.vendor_state or {}).get("vendor", "gemini")
    if call.signature and vendor == "gemini":
        part["thoughtSignature"] = call.signature
    return part


def _result(message: Message, names: dict[str, str]) -> Json:
    call_id = message.tool_call_id or ""
    name = message.name or names.get(call_id)
    if not name:
        raise InvalidRequest(
            "gemini: a tool result needs its tool's name, or the call that it answers",
            provider="gemini",
            sent=False,
        )
    response: Json = {"name": name, "response": {"result": message.content}}
    if call_id:
        response["id"] = call_id
    return {"functionResponse": response}


def _own_parts(message: Message) -> list[Json] | None:
    """The turn as Gemini sent it, if this is one of its own and was not edited since."""
    state = message.vendor_state or {}
    parts = state.get("parts")
    if state.get("vendor") != "gemini" or not isinstance(parts, list):
        return None
    text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
    calls = [part["functionCall"]["id"] for part in parts if "functionCall" in part]
    same = text == message.content and calls == [call.id for call in message.tool_calls]
    return [dict(part) for part in parts] if same else None


def part_json(part: Part) -> Json:
    """Return a text or file as a part. Raises `InvalidRequest` for a reference that is no URL."""
    if isinstance(part, TextPart):
        return {"text": part.text}
    if not isinstance(part, FileRefPart):
        data = base64.b64encode(part.data).decode()
        return {"inlineData": {"mimeType": part.mime_type, "data": data}}
    if not part.uri.startswith(("https://", "gs://")):
        scheme = part.uri.split(":")[0][:20] if ":" in part.uri else "another vendor's id"
        raise InvalidRequest(
            f"gemini takes files by URL or by the address of its own upload, not by {scheme}",
            provider="gemini",
            sent=False,
        )
    return {"fileData": {"mimeType": part.mime_type, "fileUri": part.uri}}

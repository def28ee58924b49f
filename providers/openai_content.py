"""Parts of messages as OpenAI's two APIs write them: text, images, documents, sound."""

import base64
from collections.abc import Iterable
from typing import Any

from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, Part, TextPart
from providers.exceptions import InvalidRequest

Json = dict[str, Any]

_SOUND = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def chat_content(message: Message) -> str | list[Json]:
    """Return a message's content for Chat Completions: a string where it has no parts."""
    if not message.parts:
        return message.content
    parts: list[Json] = [{"type": "text", "text": text} for text in _own_text(message)]
    return parts + [_chat_part(part) for part in message.parts]


def responses_content(message: Message) -> str | list[Json]:
    """Return a message's content for Responses: a string where it has no parts."""
    if not message.parts:
        return message.content
    parts: list[Json] = [{"type": "input_text", "text": text} for text in _own_text(message)]
    return parts + [_responses_part(part) for part in message.parts]


def texts(messages: Iterable[Message]) -> list[str]:
    """Return every text of a conversation: what an error's message must not quote."""
    found: list[str] = []
    for message in messages:
        if message.content:
            found.append(message.content)
        found += [part.text for part in message.parts if isinstance(part, TextPart)]
    return found


def _own_text(message: Message) -> list[str]:
    return [message.content] if message.content else []


def _chat_part(part: Part) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, FileInlinePart):
        return _chat_inline(part)
    if part.mime_type.startswith("image/") and _is_url(part.uri):
        return {"type": "image_url", "image_url": {"url": part.uri}}
    if _is_url(part.uri) or ":" in part.uri:
        raise _unsupported("Chat Completions takes no documents by URL", part)
    if part.mime_type.startswith(("audio/", "image/")):
        raise _unsupported("Chat Completions takes no sound and no images by id", part)
    return {"type": "file", "file": {"file_id": part.uri}}


def _chat_inline(part: FileInlinePart) -> Json:
    if part.mime_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": _data_url(part)}}
    if part.mime_type in _SOUND:
        sound = {"data": _base64(part), "format": _SOUND[part.mime_type]}
        return {"type": "input_audio", "input_audio": sound}
    if part.mime_type.startswith("audio/"):
        raise _unsupported("sound is taken as wav or mp3", part)
    if part.mime_type.startswith("text/"):
        return {"type": "text", "text": _decoded(part)}
    name = part.name or "document"
    return {"type": "file", "file": {"filename": name, "file_data": _data_url(part)}}


def _responses_part(part: Part) -> Json:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, FileInlinePart):
        return _responses_inline(part)
    kind = "image" if part.mime_type.startswith("image/") else "file"
    extra = {"detail": "auto"} if kind == "image" else {}
    if _is_url(part.uri):
        url = "image_url" if kind == "image" else "file_url"
        return {"type": f"input_{kind}", url: part.uri, **extra}
    if ":" in part.uri:
        raise _unsupported("Responses takes file ids and https URLs", part)
    return {"type": f"input_{kind}", "file_id": part.uri, **extra}


def _responses_inline(part: FileInlinePart) -> Json:
    if part.mime_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": _data_url(part)}
    if part.mime_type.startswith("text/"):
        return {"type": "input_text", "text": _decoded(part)}
    if part.mime_type.startswith("audio/"):
        raise _unsupported("Responses takes no sound; use api='chat'", part)
    name = part.name or "document"
    return {"type": "input_file", "filename": name, "file_data": _data_url(part)}


def _is_url(uri: str) -> bool:
    return uri.startswith(("https://", "http://", "data:"))


def _base64(part: FileInlinePart) -> str:
    return base64.b64encode(part.data).decode("ascii")


def _data_url(part: FileInlinePart) -> str:
    return f"data:{part.mime_type};base64,{_base64(part)}"


def _decoded(part: FileInlinePart) -> str:
    text = part.data.decode("utf-8", "replace")
    return f"{part.name}:\n{text}" if part.name else text


def _unsupported(why: str, part: FileRefPart | FileInlinePart) -> InvalidRequest:
    return InvalidRequest(
        f"openai: a part of type {part.mime_type} cannot be sent: {why}",
        provider="openai",
        sent=False,
    )

"""Short spellings of what each turn of an agent writes into its history.

A turn writes four payloads, and an agent takes hundreds of turns: digests, times and usages are
most of it. Here they are written in a third of the space. Both spellings are read, so that what
an earlier version wrote still loads; only JSON is short, in Python nothing is different.

| what | short |
| --- | --- |
| a reference | "DIGEST:size" of a text, "DIGEST:size:j" of JSON; the digest in URL-safe base64 |
| a value that is stored | its reference |
| a small JSON value | {"json": value} |
| a time | milliseconds since 1970 |
| times of one value | "times": the first so, those after it in milliseconds from there |
| a usage | [prompt, completion], and more where there is more: see `_usage_words` |
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

from contracts.artifacts import ArtifactRef, Value
from contracts.base import Slim
from contracts.messages import Usage

TEXT_TYPE = "text/plain; charset=utf-8"
JSON_TYPE = "application/json"
INLINE_BYTES = 256
"""JSON that is no larger travels in place of its reference: that would be as long."""


def _ref_text(ref: ArtifactRef) -> str:
    digest = base64.urlsafe_b64encode(bytes.fromhex(ref.sha256)).rstrip(b"=").decode()
    kind = {TEXT_TYPE: "", JSON_TYPE: ":j"}.get(ref.media_type, f":{ref.media_type}")
    return f"{digest}:{ref.size_bytes}{kind}"


def _ref(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    digest, _, rest = given.partition(":")
    size, _, kind = rest.partition(":")
    try:
        sha256 = base64.urlsafe_b64decode(digest + "=").hex()
    except binascii.Error:
        raise ValueError("is no reference") from None
    media_type = {"": TEXT_TYPE, "j": JSON_TYPE}.get(kind, kind)
    return ArtifactRef(sha256=sha256, size_bytes=int(size), media_type=media_type)


def _write_shown(value: Value, handler: SerializerFunctionWrapHandler) -> Any:
    if value.has_inline and value.kind == "json" and value.size_bytes <= INLINE_BYTES:
        return {"json": value.inline}
    return handler(value)


def _write_value(value: Value, handler: SerializerFunctionWrapHandler) -> Any:
    ref = value.ref
    if ref is None or value.has_inline or value.size_bytes != ref.size_bytes:
        return _write_shown(value, handler)
    if ref.media_type != (TEXT_TYPE if value.kind == "text" else JSON_TYPE):
        return handler(value)
    return _ref_text(ref)


def _value(given: Any) -> Any:
    if isinstance(given, str):
        ref = _ref(given)
        kind = "json" if ref.media_type == JSON_TYPE else "text"
        return Value.model_validate({"kind": kind, "ref": ref, "size_bytes": ref.size_bytes})
    if isinstance(given, dict) and given.keys() == {"json"}:
        return small_json(given["json"])
    return given


def small_json(value: Any) -> Value:
    """Return JSON as a value that is itself; `preview` is for people."""
    data = to_json(value)
    text = data.decode()
    shown = text if len(text) <= 160 else text[:159] + "…"
    return Value(kind="json", inline=value, has_inline=True, preview=shown, size_bytes=len(data))


def _time_number(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(given: Any) -> Any:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return datetime.fromtimestamp(given / 1000, UTC) if number else given


class Timed(Slim):
    """A slim contract that writes its times, the first of them always there, as one list."""

    _times: ClassVar[tuple[str, ...]]

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "times" not in given:
            return given
        data = dict(given)
        first, *rest = data.pop("times")
        times = [first, *(None if time is None else first + time for time in rest)]
        return data | dict(zip(cls._times, times, strict=True))

    @model_serializer(mode="wrap")
    def _without_defaults(  # type: ignore[override]  # pydantic calls it either way
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        data = self._slimmed(handler(self))
        if info.mode != "json":
            return data
        first, *rest = (data.pop(name, None) for name in self._times)
        data["times"] = [first, *(None if time is None else time - first for time in rest)]
        return data


def _usage_words(usage: Usage, handler: SerializerFunctionWrapHandler) -> Any:
    """Prompt, completion; then cached, cache-written and reasoning tokens, the total, the raw."""
    if usage.estimated:
        return handler(usage)
    words: list[Any] = [usage.prompt_tokens, usage.completion_tokens]
    if usage.cache_write_1h_tokens:
        return handler(usage)
    more = [usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens]
    if any(more) or usage.total_tokens != sum(words) or usage.raw is not None:
        words += [*more, usage.total_tokens]
    return words if usage.raw is None else [*words, usage.raw]


def _usage(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    prompt, completion, *more = given
    cached, written, reasoning, total, raw = [*more, None][:5] if more else (0, 0, 0, 0, None)
    return Usage(prompt, completion, total, cached, written, reasoning, raw=raw)


BriefRef = Annotated[
    ArtifactRef, BeforeValidator(_ref), PlainSerializer(_ref_text, when_used="json")
]
"""A reference, written as a short text."""

BriefValue = Annotated[
    Value, BeforeValidator(_value), WrapSerializer(_write_value, when_used="json")
]
"""A value, written as its reference where it is stored and as itself where it is small."""

ShownValue = Annotated[
    Value, BeforeValidator(_value), WrapSerializer(_write_shown, when_used="json")
]
"""A value that people are shown: stored, it keeps its preview."""

BriefTime = Annotated[
    datetime, BeforeValidator(_time), PlainSerializer(_time_number, when_used="json")
]
"""A time to the millisecond."""

BriefUsage = Annotated[
    Usage, BeforeValidator(_usage), WrapSerializer(_usage_words, when_used="json")
]
"""Tokens of one call, as numbers in order."""

"""Values of steps and inputs: stored as artifacts, small ones inline too, shown by a preview."""

import asyncio
import unicodedata
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from contracts.artifacts import (
    INLINE_LIMIT_BYTES,
    PREVIEW_CHARS,
    ArtifactRef,
    Bindings,
    Value,
)
from contracts.base import Json
from stores.artifacts import JSON, TEXT, ArtifactStore
from stores.exceptions import ArtifactCorrupt
from stores.jsontext import json_bytes, json_value, text_bytes

T = TypeVar("T")

_page = TypeAdapter(dict[str, Value])


async def store_value(
    store: ArtifactStore,
    value: object,
    inline_limit: int = INLINE_LIMIT_BYTES,
    *,
    want_inline: bool = False,
) -> Value:
    """Store a text (str) or whatever else JSON can hold, and return what travels.

    With `want_inline` a value of at most `inline_limit` bytes is carried inline as well. Raises
    ValueError for what JSON cannot hold, StoreUnavailable.
    """
    if isinstance(value, str):
        data = text_bytes(value)
        kind, media_type = "text", TEXT
    else:
        data = json_bytes(value)
        kind, media_type = "json", JSON
    ref = await store.put_bytes(data, media_type)
    inline = want_inline and len(data) <= inline_limit
    return Value.model_validate(
        {
            "kind": kind,
            "ref": ref,
            "inline": _content(kind, data) if inline else None,
            "has_inline": inline,
            "preview": preview(data[: PREVIEW_CHARS * 16].decode(errors="ignore")),
            "size_bytes": len(data),
        }
    )


async def load_value(store: ArtifactStore, value: Value) -> Json:
    """Return what a value holds; None for one that holds nothing. Raises the store's errors."""
    if value.has_inline:
        return value.inline
    if value.ref is None:
        return None
    if value.kind == "text":
        return await store.get_text(value.ref)
    return await store.get_json(value.ref)


async def load_bindings(
    store: ArtifactStore, bindings: Bindings, only: Collection[str] | None = None
) -> dict[str, Json]:
    """Return the values by name, loaded concurrently.

    A later page wins over an earlier one and `values` over all pages. `only` names those to
    load; the others are left out. Raises the store's errors.
    """
    merged: dict[str, Value] = {}
    for page in await _all([_load_page(store, ref) for ref in bindings.pages]):
        merged |= page
    merged |= bindings.values
    wanted = [name for name in merged if only is None or name in only]
    loaded = await _all([load_value(store, merged[name]) for name in wanted])
    return dict(zip(wanted, loaded, strict=True))


def preview(text: str) -> str:
    """Return the beginning of a text on one line, without control characters, for display.

    At most PREVIEW_CHARS characters; one that was cut ends in "…".
    """
    start = text[: PREVIEW_CHARS * 4]
    line = " ".join(start.split())
    if not line.isprintable():
        line = " ".join("".join(char for char in start if _visible(char)).split())
    if len(line) <= PREVIEW_CHARS and len(start) == len(text):
        return line
    return line[: PREVIEW_CHARS - 1].rstrip() + "…"


def _visible(char: str) -> bool:
    """Say whether a character may stand in a terminal; formatting ones can reorder a line."""
    return char.isspace() or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def _content(kind: str, data: bytes) -> Json:
    return data.decode() if kind == "text" else json_value(data)


async def _load_page(store: ArtifactStore, ref: ArtifactRef) -> dict[str, Value]:
    data = await store.get_bytes(ref)
    try:
        return _page.validate_json(data)
    except ValidationError:
        raise ArtifactCorrupt(ref, store.name, "it is no page of bindings") from None


async def _all(loads: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; the first failure cancels the rest and is raised as it is."""
    if len(loads) < 2:
        return [await load for load in loads]
    tasks = [asyncio.ensure_future(load) for load in loads]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise

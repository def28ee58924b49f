"""Values: stored, inline where asked for and small, previewed for display; bindings merged."""

import asyncio
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from contracts.artifacts import INLINE_LIMIT_BYTES, PREVIEW_CHARS, ArtifactRef, Bindings, Value
from stores.artifacts import ArtifactStore
from stores.backend import Backend
from stores.exceptions import ArtifactCorrupt, ArtifactMissing
from stores.values import load_bindings, load_value, preview, store_value

pytestmark = pytest.mark.unit


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore.open("memory://")


async def test_a_text_travels_by_reference_and_preview(store: ArtifactStore) -> None:
    value = await store_value(store, "line one\nline two")
    assert (value.kind, value.has_inline, value.inline) == ("text", False, None)
    assert (value.preview, value.size_bytes) == ("line one line two", 17)
    assert await load_value(store, value) == "line one\nline two"


@pytest.mark.parametrize("content", [{"a": [1, "ü"]}, [], None, 3, False, "a text"])
async def test_a_small_value_travels_inline_when_wanted(
    store: ArtifactStore, content: object
) -> None:
    value = await store_value(store, content, want_inline=True)
    assert value.has_inline
    assert value.inline == content
    assert value.kind == ("text" if isinstance(content, str) else "json")
    elsewhere = ArtifactStore.open("memory://")
    assert await load_value(elsewhere, value) == content
    by_reference = value.model_copy(update={"has_inline": False, "inline": None})
    assert await load_value(store, by_reference) == content


async def test_the_limit_is_inclusive_and_counts_bytes(store: ArtifactStore) -> None:
    fits = "ü" * ((INLINE_LIMIT_BYTES - 2) // 2)
    assert (await store_value(store, [fits[1:]], want_inline=True)).has_inline
    assert not (await store_value(store, [fits], want_inline=True)).has_inline
    assert (await store_value(store, "x" * 10, 10, want_inline=True)).has_inline
    assert not (await store_value(store, "x" * 11, 10, want_inline=True)).has_inline
    assert not (await store_value(store, {"a": 1})).has_inline


async def test_what_json_cannot_hold_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(ValueError):
        await store_value(store, {"a": float("nan")})


async def test_a_value_that_holds_nothing_is_none(store: ArtifactStore) -> None:
    assert await load_value(store, Value()) is None


async def test_bindings_merge_pages_in_order_and_values_win(store: ArtifactStore) -> None:
    old, new, own = [await store_value(store, text) for text in ("old", "new", "own")]
    first = await store.put_json({"a": old, "b": old, "c": old})
    second = await store.put_json({"b": new, "c": new})
    bindings = Bindings(values={"c": own, "d": own}, pages=(first, second))
    assert await load_bindings(store, bindings) == {"a": "old", "b": "new", "c": "own", "d": "own"}
    assert await load_bindings(store, bindings, only={"b", "z"}) == {"b": "new"}
    assert await load_bindings(store, Bindings()) == {}


async def test_one_missing_value_fails_the_loading(store: ArtifactStore) -> None:
    gone = Value(ref=ArtifactRef(sha256="0" * 64, size_bytes=1))
    there = await store_value(store, "x")
    with pytest.raises(ArtifactMissing):
        await load_bindings(store, Bindings(values={"a": there, "b": gone}))
    assert await load_bindings(store, Bindings(values={"a": there, "b": gone}), only=["a"])


async def test_a_page_that_is_none_is_corrupt(store: ArtifactStore) -> None:
    page = await store.put_json([1, 2])
    with pytest.raises(ArtifactCorrupt, match="no page"):
        await load_bindings(store, Bindings(pages=(page,)))


class MeetingBackend(Backend):
    """Answers a read only when as many as expected are waiting at once."""

    def __init__(self, expected: int) -> None:
        super().__init__(MemoryStore(), "memory://")
        self._expected = expected
        self._all_here = asyncio.Event()
        self._here = 0

    async def get(self, key: str) -> bytes | None:
        self._here += 1
        if self._here == self._expected:
            self._all_here.set()
        await asyncio.wait_for(self._all_here.wait(), 30)
        return await super().get(key)


async def test_values_are_loaded_concurrently() -> None:
    backend = MeetingBackend(expected=12)
    store = ArtifactStore(backend, cache_bytes=0)
    values = {f"v{n}": await store_value(store, f"text {n}") for n in range(12)}
    loaded = await load_bindings(store, Bindings(values=values))
    assert loaded == {f"v{n}": f"text {n}" for n in range(12)}


def test_a_preview_is_one_clean_line() -> None:
    assert preview("  a\r\n\tb \x1b[31mred\x00 ") == "a b [31mred"
    assert preview("right\u202eleft\u200b") == "rightleft"
    assert preview("") == ""
    assert preview("x" * 160) == "x" * 160
    assert preview("x" * 161) == "x" * 159 + "…"
    assert preview(" " * 5_000 + "x") == "…"


@given(st.text(st.characters(exclude_categories=[]), max_size=1_000))
def test_a_preview_never_breaks_a_terminal(text: str) -> None:
    shown = preview(text)
    assert len(shown) <= PREVIEW_CHARS
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown)
    shown.encode()

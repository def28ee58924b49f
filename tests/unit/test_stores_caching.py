"""What a store remembers of what it read: the latest used, within a bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.caching import BytesCache

pytestmark = pytest.mark.unit


def test_the_cache_keeps_the_latest_used_within_its_bound() -> None:
    cache = BytesCache(limit_bytes=10, entry_bytes=6)
    cache.put("a", b"aaaa")
    cache.put("b", b"bbbb")
    assert cache.get("a") == b"aaaa"
    cache.put("c", b"cccc")
    assert cache.get("b") is None
    assert cache.get("a") == b"aaaa"
    cache.put("d", b"too long")
    assert cache.get("d") is None
    cache.put("a", b"")
    assert cache.size_bytes == 4


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=40))
def test_the_cache_never_exceeds_its_bound(puts: list[tuple[int, int]]) -> None:
    cache = BytesCache(limit_bytes=12, entry_bytes=7)
    for key, size in puts:
        cache.put(str(key), b"x" * size)
        held = [cache.get(str(key)) or b"" for key in range(6)]
        assert sum(map(len, held)) == cache.size_bytes <= 12

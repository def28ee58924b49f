"""A bounded memory of bytes that were verified, by their hash."""

import threading
from collections import OrderedDict


class BytesCache:
    """Keeps the most recently used entries, at most `limit_bytes` in all, none over `entry_bytes`.

    Safe to use from several threads.
    """

    def __init__(self, limit_bytes: int, entry_bytes: int) -> None:
        self._limit = limit_bytes
        self._entry = min(entry_bytes, limit_bytes)
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, key: str) -> bytes | None:
        """Return the bytes, or None; counts as a use."""
        with self._lock:
            data = self._entries.get(key)
            if data is not None:
                self._entries.move_to_end(key)
            return data

    def put(self, key: str, data: bytes) -> None:
        """Keep the bytes if they are small enough; those unused longest make room."""
        if len(data) > self._entry:
            return
        with self._lock:
            before = self._entries.pop(key, None)
            self.size_bytes += len(data) - len(before or b"")
            self._entries[key] = data
            while self.size_bytes > self._limit:
                _, dropped = self._entries.popitem(last=False)
                self.size_bytes -= len(dropped)

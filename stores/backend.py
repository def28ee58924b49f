"""The object store under the artifacts: obstore, called in threads, its errors made ours.

Strategy: obstore's synchronous calls, which release the interpreter's lock, in a pool of our
own. Its asynchronous ones were tried and abort about half of the processes that end right after
a call (exit 134: a thread of its runtime asks for the lock while the interpreter shuts down);
the pool is as fast and ends cleanly.

Writes are atomic: a local store writes `name#1` beside the object and renames it, the cloud
stores show an object when its last part has arrived. A killed process leaves no half object
under a final name. Nothing is synced to the disk: a power cut may cost the last seconds, which
reading then notices by the hash.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from stores.exceptions import InvalidStoreUrl, OutsideStore, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from obstore import ObjectMeta

T = TypeVar("T")

PART_BYTES = 8 * 1024 * 1024
"""Size of an upload's parts."""

RANGE_BYTES = 2 * 1024 * 1024
"""Size of a download's ranges: with 8 MB a stream was measured to hold twice the memory, since
each thread that reads one keeps its share, and was no quicker."""

_PARTS_AT_ONCE = 4
_THREADS = 16
_RETRIES = {
    "max_retries": 30,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(seconds=0.1),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}
"""Ten seconds in all: a server that starts again is waited for, since an answer that was paid for
may be what is to be stored; one that is gone is told of soon enough."""

_staged_name = re.compile(r".+#\d+")
"""How obstore's local store names what it is writing."""

_CLOUDS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")


@dataclass(frozen=True)
class Entry:
    """An object as a listing tells it; `modified` by the store's own clock."""

    key: str
    size_bytes: int
    modified: datetime


class Backend:
    """Bytes by key. Every method may raise `StoreUnavailable`; none blocks the event loop.

    `name` is the store's address without credentials, for messages; `folder` is where a local
    one lies. May be used from several event loops and threads. `close` may be called twice; it
    does not wait.
    """

    def __init__(self, store: ObjectStore, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.folder = folder
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="artifacts")

    @classmethod
    def open(cls, url: str) -> "Backend":
        """Open a folder (path or file://), s3://, gs://, az:// or memory://.

        Options and credentials come from the environment variables that obstore documents.
        A folder is made if need be, for its owner only. Raises InvalidStoreUrl, StoreUnavailable.
        """
        parts = urlsplit(url)
        if "://" not in url:
            return cls._folder(Path(url))
        if parts.scheme == "file":
            return cls._folder(Path(unquote(parts.path)))
        if parts.scheme == "memory":
            return cls(MemoryStore(), "memory://")
        return cls._cloud(url)

    @classmethod
    def _folder(cls, path: Path) -> "Backend":
        path = path.expanduser().absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(LocalStore(path), path.as_uri(), path)
        except (OSError, BaseError) as error:
            raise StoreUnavailable(f"cannot use the folder {path}: {_reason(error)}") from None

    @classmethod
    def _cloud(cls, url: str) -> "Backend":
        parts = urlsplit(url)
        name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if parts.scheme not in _CLOUDS:
            raise InvalidStoreUrl(
                f"{name}: no such kind of store; use a folder, file://, s3://, gs:// or az://"
            )
        if "@" in parts.netloc or parts.query:
            raise InvalidStoreUrl(
                f"{name}: write credentials and options into the environment, not into the URL"
            )
        try:
            return cls(from_url(url, retry_config=_RETRIES), name)  # type: ignore[call-overload]
        except (BaseError, ValueError) as error:
            raise InvalidStoreUrl(f"{name}: {_reason(error)}") from None

    async def put(self, key: str, data: bytes) -> None:
        """Write a whole object, over what is there."""
        await self._call(lambda: obstore.put(self._store, key, data, use_multipart=False))

    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; say whether it was written. One of many wins."""

        def written() -> bool:
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

        return await self._call(written)

    async def put_parts(self, key: str, parts: Iterator[bytes]) -> None:
        """Write an object part by part; where the iterator raises, nothing appears.

        The iterator runs in another thread. A StoreError of its is passed on.
        """
        await self._call(
            lambda: obstore.put(
                self._store,
                key,
                parts,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        )

    async def get(self, key: str) -> bytes | None:
        """Return a whole object, or None."""
        return await self._call_or_none(lambda: obstore.get(self._store, key).bytes().to_bytes())

    async def get_range(self, key: str, start: int, end: int) -> bytes | None:
        """Return the bytes from `start` to before `end`, or None where there is no object."""
        return await self._call_or_none(
            lambda: obstore.get_range(self._store, key, start=start, end=end).to_bytes()
        )

    async def size(self, key: str) -> int | None:
        """Return an object's size in bytes, or None."""
        found = await self.head(key)
        return found.size_bytes if found else None

    async def head(self, key: str) -> Entry | None:
        """Return what a listing would tell of one object, or None."""
        return await self._call_or_none(lambda: _entry(obstore.head(self._store, key)))

    async def keys(self, prefix: str) -> list[str]:
        """Return the keys below a folder, sorted."""
        return [entry.key for entry in await self.entries(prefix)]

    async def entries(self, prefix: str = "") -> list[Entry]:
        """Return what lies below a folder, by key; all that there is without one.

        Some 300 bytes of memory an object. Unfinished writes of a local store are left out.
        """

        def listed() -> list[Entry]:
            pages = obstore.list(self._store, prefix or None)
            found = [_entry(meta) for page in pages for meta in page]
            return sorted(found, key=lambda entry: entry.key)

        return await self._call(listed)

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one: not every store tells.

        Raises OutsideStore, and removes nothing, where a link leads out of a local store.
        """

        def remove() -> None:
            self._stay_inside(key)
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, key)

        await self._call(remove)

    def _stay_inside(self, key: str) -> None:
        if self.folder is None:
            return
        root, path = self.folder.resolve(), (self.folder / key).resolve()
        if not path.is_relative_to(root):
            raise OutsideStore(f"{self.name}: {key} leads out of the store, to {path}")

    async def unfinished(self) -> list[Entry]:
        """Return what killed writers left in a local store. Links are not followed.

        The cloud stores keep theirs to themselves: a rule of the bucket ends them.
        """
        return await self._call(lambda: list(self._staged()))

    def _staged(self) -> Iterator[Entry]:
        for folder, _, names in os.walk(self.folder) if self.folder else ():
            for name in names:
                if _staged_name.fullmatch(name):
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        found = path.lstat()
                        changed = datetime.fromtimestamp(found.st_mtime, UTC)
                        yield Entry(str(path), found.st_size, changed)

    async def delete_unfinished(self, entry: Entry) -> None:
        """Remove what `unfinished` returned."""
        await self._call(lambda: Path(entry.key).unlink(missing_ok=True))

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work in the store's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let the threads end; what runs goes on to its end."""
        self._threads.shutdown(wait=False)

    async def _call_or_none(self, work: Callable[[], T]) -> T | None:
        return await self._call(lambda: _or_none(work))

    async def _call(self, work: Callable[[], T]) -> T:
        """Run blocking work on the store; what is not found then is the store itself."""
        try:
            return await self.run(work)
        except StoreError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise StoreUnavailable(f"{self.name}: {_reason(error)}") from None


def _or_none(work: Callable[[], T]) -> T | None:
    try:
        return work()
    except FileNotFoundError:
        return None


def _reason(error: Exception) -> str:
    """Return the first line of an error without any URL's query, which may hold a signature."""
    first = str(error).strip().partition("\n")[0]
    return re.sub(r"\?\S+", "", first)[:300] or type(error).__name__


def _entry(meta: "ObjectMeta") -> Entry:
    return Entry(meta["path"], meta["size"], meta["last_modified"])

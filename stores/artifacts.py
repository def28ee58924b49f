"""Content-addressed artifacts: bytes under their SHA-256, written once, verified when read.

Strategy: an object's key is the hash of its plain content, `artifacts/ab/cdef…`, so that storing
the same content twice is storing it once, and whoever holds a reference can tell whether what
came back is it. Small objects are simply written again (that repairs a damaged one); from 8 MB
on, one that was written within RENEW_AFTER is not sent again. So whatever was stored lately is
young in the store, however often it had been stored before, and the collector
(stores.collecting) spares the young. Files are hashed while they are read and then sent in
parts, hashed again on the way: one that changed in between is not stored.

Beside them lie names, mutable and atomic: `note("runs/<run id>", ref)`, `lookup`, `names`.

With a `Sealer` objects are sealed and their keys end in its suffix; plain objects that were
written before stay readable. The key is the plain content's hash all the same: who sees the
store's listing can tell which of the contents he already knows lie there.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from contracts.artifacts import ArtifactRef
from contracts.base import Json
from stores.backend import PART_BYTES, RANGE_BYTES, Backend
from stores.caching import BytesCache
from stores.collecting import GRACE, Collector
from stores.exceptions import (
    ArtifactCorrupt,
    ArtifactMissing,
    SealBroken,
    SourceChanged,
    WrongKey,
)
from stores.framing import FrameOpener, sealed_frames
from stores.jsontext import json_bytes, json_value, text_bytes
from stores.keys import NOTE_SUFFIX, Note, artifact_key, note_key, noted_name, read_note
from stores.naming import file_name
from stores.sealing import PLAIN, AesGcm, Sealer

M = TypeVar("M", bound=BaseModel)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

CACHE_BYTES = 64 * 1024 * 1024
CACHED_OBJECT_BYTES = 1024 * 1024

RENEW_AFTER = timedelta(hours=8)
"""Age from which a large object that is stored again is sent again: well below the age at which
one that nothing refers to may be collected."""

_AT_ONCE_BYTES = 256 * 1024
"""Up to this size hashing takes less time than handing the bytes to a thread."""


class ArtifactStore:
    """Artifacts and names in one store. Safe for concurrent use; opening it does no network I/O.

    Every method may raise StoreUnavailable. Reading a reference may raise ArtifactMissing,
    ArtifactCorrupt and, where keys are involved, WrongKey. References of another media type to
    the same bytes are equal in content. `close` when done; it may be called twice.
    """

    def __init__(
        self, backend: Backend, sealer: Sealer = PLAIN, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._backend = backend
        self._sealer = sealer
        self._cache = BytesCache(cache_bytes, CACHED_OBJECT_BYTES)

    @classmethod
    def open(
        cls, url: str, sealer: Sealer = PLAIN, cache_bytes: int = CACHE_BYTES
    ) -> "ArtifactStore":
        """Open a folder (path or file://), s3://, gs://, az:// or, for tests, memory://.

        Cloud options and credentials come from obstore's environment variables (AWS_…,
        GOOGLE_…, AZURE_…). Raises InvalidStoreUrl, StoreUnavailable.
        """
        return cls(Backend.open(url), sealer, cache_bytes)

    @property
    def name(self) -> str:
        """The store's address, without credentials."""
        return self._backend.name

    def close(self) -> None:
        """Release the store's threads."""
        self._backend.close()

    # writing

    async def put_text(self, text: str) -> ArtifactRef:
        """Store a text as UTF-8; half surrogate pairs become U+FFFD."""
        return await self.put_bytes(text_bytes(text), TEXT)

    async def put_json(self, value: object) -> ArtifactRef:
        """Store a value as JSON: see stores.jsontext. Raises ValueError if it is none."""
        return await self.put_bytes(json_bytes(value), JSON)

    async def put_bytes(self, data: bytes, media_type: str = BYTES) -> ArtifactRef:
        """Store bytes. When it returns, the store holds them."""
        ref = ArtifactRef(
            sha256=await self._digest(data), size_bytes=len(data), media_type=media_type
        )
        if len(data) <= PART_BYTES:
            await self._backend.put(self._key(ref), await self._sealed(data))
        elif not await self._lately(ref):
            parts = (data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES))
            await self._backend.put_parts(self._key(ref), self._sealed_parts(parts))
        self._cache.put(ref.sha256, data)
        return ref

    async def put_file(self, path: str | Path, media_type: str = BYTES) -> ArtifactRef:
        """Store a file of any size in a bounded amount of memory (about 100 MB).

        Raises OSError when the file cannot be read and SourceChanged when it is being written.
        """
        source = Path(path)
        ref = await self._backend.run(lambda: _hashed(source, media_type))
        if ref.size_bytes <= PART_BYTES:
            data = await self._backend.run(lambda: b"".join(_verified_parts(source, ref)))
            await self._backend.put(self._key(ref), await self._sealed(data))
        elif not await self._lately(ref):
            parts = self._sealed_parts(_verified_parts(source, ref))
            await self._backend.put_parts(self._key(ref), parts)
        return ref

    # reading

    async def get_bytes(self, ref: ArtifactRef) -> bytes:
        """Return the content, verified."""
        cached = self._cache.get(ref.sha256)
        if cached is not None:
            return cached
        key, sealer = self._key(ref), self._sealer
        stored = await self._backend.get(key)
        if stored is None:
            key, sealer = await self._elsewhere(ref)
            stored = await self._backend.get(key)
        if stored is None:
            raise ArtifactMissing(ref, self.name)
        data = await self._opened(ref, sealer, stored)
        if await self._digest(data) != ref.sha256:
            raise ArtifactCorrupt(ref, self.name, "its hash differs")
        self._cache.put(ref.sha256, data)
        return data

    async def get_text(self, ref: ArtifactRef) -> str:
        """Return a stored text."""
        try:
            return (await self.get_bytes(ref)).decode()
        except UnicodeDecodeError:
            raise ArtifactCorrupt(ref, self.name, "it is not UTF-8 text") from None

    async def get_json(self, ref: ArtifactRef) -> Json:
        """Return a stored JSON value."""
        data = await self.get_bytes(ref)
        try:
            return json_value(data)
        except ValueError:
            raise ArtifactCorrupt(ref, self.name, "it is not JSON") from None

    async def get_model(self, ref: ArtifactRef, model: type[M]) -> M:
        """Return a stored pydantic model."""
        data = await self.get_bytes(ref)
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            reason = f"it is no {model.__name__} (at {where or 'its top'})"
            raise ArtifactCorrupt(ref, self.name, reason) from None

    async def stream(self, ref: ArtifactRef) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most 2 MB.

        It is verified as a whole: ArtifactCorrupt may come after the last piece, so act on what
        was yielded only when the iteration has ended.
        """
        key, sealer, size = await self._found(ref)
        digest = hashlib.sha256()
        opener = FrameOpener(sealer) if sealer.suffix else None
        for start in range(0, size, RANGE_BYTES):
            data = await self._backend.get_range(key, start, min(start + RANGE_BYTES, size))
            if data is None:
                raise ArtifactMissing(ref, self.name)
            for piece in await self._pieces(ref, opener, data):
                await self._backend.run(partial(digest.update, piece))
                yield piece
        if digest.hexdigest() != ref.sha256:
            raise ArtifactCorrupt(ref, self.name, "its hash differs")

    async def exists(self, ref: ArtifactRef) -> bool:
        """Say whether the store holds the object in the form that this store writes.

        The content is not read: only its size tells a whole object from a damaged one.
        """
        size = await self._backend.size(self._key(ref))
        return size is not None and self._whole(ref, size)

    async def _lately(self, ref: ArtifactRef) -> bool:
        """Say whether the object is there, whole by its size, and young."""
        found = await self._backend.head(self._key(ref))
        if found is None or not self._whole(ref, found.size_bytes):
            return False
        return datetime.now(UTC) - found.modified < RENEW_AFTER

    def _whole(self, ref: ArtifactRef, size: int) -> bool:
        return size > ref.size_bytes if self._sealer.suffix else size == ref.size_bytes

    def collector(self, grace: timedelta = GRACE) -> Collector:
        """Return what finds and removes the objects that nothing needs any more."""
        return Collector(self._backend, self._sealer, grace)

    # names

    async def note(self, name: str, ref: ArtifactRef) -> None:
        """Let a name such as "runs/<run id>" point to an artifact, whatever it pointed to."""
        await self._backend.put(note_key(name), json_bytes(Note(name=name, ref=ref)))

    async def note_new(self, name: str, ref: ArtifactRef) -> bool:
        """Let a name point to an artifact unless it points to one; of many callers one wins."""
        return await self._backend.put_new(note_key(name), json_bytes(Note(name=name, ref=ref)))

    async def forget(self, name: str) -> None:
        """Remove a name, if it is there; not the artifact."""
        await self._backend.delete(note_key(name))

    async def lookup(self, name: str) -> ArtifactRef | None:
        """Return what a name points to, or None."""
        data = await self._backend.get(note_key(name))
        return None if data is None else read_note(data, name, self.name).ref

    async def noted_at(self, name: str) -> datetime | None:
        """Return when a name was last pointed somewhere, by the store's clock, or None."""
        found = await self._backend.head(note_key(name))
        return found.modified if found else None

    async def names(self, prefix: str) -> list[str]:
        """Return the names that begin with the prefix ("runs/"), sorted."""
        folder = "/".join(file_name(part) for part in prefix.split("/")[:-1])
        found = [
            noted_name(key) or await self._shortened(key)
            for key in await self._backend.keys(folder)
            if key.endswith(NOTE_SUFFIX)
        ]
        return sorted(name for name in found if name.startswith(prefix))

    async def _shortened(self, key: str) -> str:
        return read_note(await self._backend.get(key) or b"", key, self.name).name

    # forms

    def _key(self, ref: ArtifactRef) -> str:
        return artifact_key(ref.sha256) + self._sealer.suffix

    async def _elsewhere(self, ref: ArtifactRef) -> tuple[str, Sealer]:
        """Return where an object may lie that is not there in our form."""
        if self._sealer.suffix:
            return artifact_key(ref.sha256), PLAIN
        if await self._backend.size(artifact_key(ref.sha256) + AesGcm.suffix) is not None:
            raise WrongKey(f"artifact {ref.sha256} is sealed, and no keys are configured")
        raise ArtifactMissing(ref, self.name)

    async def _found(self, ref: ArtifactRef) -> tuple[str, Sealer, int]:
        key, sealer = self._key(ref), self._sealer
        size = await self._backend.size(key)
        if size is None:
            key, sealer = await self._elsewhere(ref)
            size = await self._backend.size(key)
        if size is None:
            raise ArtifactMissing(ref, self.name)
        if not sealer.suffix and size != ref.size_bytes:
            raise ArtifactCorrupt(ref, self.name, f"it has {size:,} bytes")
        return key, sealer, size

    async def _sealed(self, data: bytes) -> bytes:
        if not self._sealer.suffix:
            return data
        return await self._backend.run(lambda: b"".join(sealed_frames(self._sealer, [data])))

    def _sealed_parts(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        return sealed_frames(self._sealer, parts) if self._sealer.suffix else parts

    async def _opened(self, ref: ArtifactRef, sealer: Sealer, stored: bytes) -> bytes:
        opener = FrameOpener(sealer) if sealer.suffix else None
        return b"".join(await self._pieces(ref, opener, stored))

    async def _pieces(
        self, ref: ArtifactRef, opener: FrameOpener | None, data: bytes
    ) -> list[bytes]:
        if opener is None:
            return [data]
        try:
            return await self._backend.run(lambda: opener.feed(data))
        except SealBroken as error:
            raise ArtifactCorrupt(ref, self.name, str(error)) from None

    async def _digest(self, data: bytes) -> str:
        if len(data) <= _AT_ONCE_BYTES:
            return hashlib.sha256(data).hexdigest()
        return await self._backend.run(lambda: hashlib.sha256(data).hexdigest())


def _parts(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def _hashed(source: Path, media_type: str) -> ArtifactRef:
    digest, size = hashlib.sha256(), 0
    for part in _parts(source):
        digest.update(part)
        size += len(part)
    return ArtifactRef(sha256=digest.hexdigest(), size_bytes=size, media_type=media_type)


def _verified_parts(source: Path, ref: ArtifactRef) -> Iterator[bytes]:
    """Yield a file's parts again. Raises SourceChanged at the end if it is another content now."""
    digest = hashlib.sha256()
    try:
        for part in _parts(source):
            digest.update(part)
            yield part
    except OSError as error:
        raise SourceChanged(f"{source} could not be read again: {error.strerror}") from None
    if digest.hexdigest() != ref.sha256:
        raise SourceChanged(f"{source} changed while it was being stored")

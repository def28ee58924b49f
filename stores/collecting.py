"""Collecting what nothing needs any more: found first, then removed one by one.

Strategy: mark and sweep over one listing of the store. What is needed follows from roots: hashes
that the caller knows of (histories), all names that have not expired, and every young object,
each with all that it leads to. The rest is removed if it is older than GRACE. That keeps the
objects of runs that are just being started, and what is being written while this goes on: the
listing is older than the marks, whoever stores something again makes it young
(stores.artifacts), and age is asked once more just before a removal. A window of one request
remains, in which content that nothing has referred to for a day would have to be stored again.

What cannot be read because it is damaged leads nobody anywhere, and is passed over. What is
sealed by a key that is not here may lead anywhere: WrongKey, and nothing is removed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from stores.backend import RANGE_BYTES, Backend, Entry
from stores.exceptions import OutsideStore, SealBroken, StoreError, WrongKey
from stores.framing import FrameOpener
from stores.keys import NOTE_SUFFIX, digest_of, noted_name, read_note
from stores.scanning import DIGEST_BYTES, ReferenceScanner
from stores.sealing import Sealer

T = TypeVar("T")
R = TypeVar("R")

GRACE = timedelta(days=1)
"""Objects younger than this stay, whether anything refers to them or not."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Garbage:
    """What a look has found.

    `young` are objects without a reference that are within their grace; `damaged` the keys of
    objects that could not be read.
    """

    artifacts: tuple[Entry, ...]
    names: tuple[Entry, ...]
    unfinished: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    young: tuple[Entry, ...]
    damaged: tuple[str, ...]


@dataclass
class _Marks:
    """What is being found: hashes to be kept, objects that could not be read."""

    objects: dict[str, list[Entry]]
    needed: set[str]
    damaged: list[str]


class Collector:
    """Finds and removes garbage in one store, once it is older than `grace`.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, backend: Backend, sealer: Sealer, grace: timedelta = GRACE) -> None:
        self._backend = backend
        self._sealer = sealer
        self._grace = grace

    async def look(
        self, roots: Collection[str], expired: Callable[[str, datetime], bool]
    ) -> Garbage:
        """Find what neither `roots` (hashes) nor a name that is not `expired` leads to.

        `expired` is asked with a name and the time when it was last pointed somewhere. Nothing
        is changed. Raises WrongKey.
        """
        entries = await self._backend.entries()
        objects: dict[str, list[Entry]] = {}
        for entry in entries:
            if digest := digest_of(entry.key):
                objects.setdefault(digest, []).append(entry)
        marks = _Marks(objects, set(), [])
        notes = [entry for entry in entries if entry.key.endswith(NOTE_SUFFIX)]
        named, old_names = await self._names(notes, expired, marks)
        oldest = datetime.now(UTC) - self._grace
        young = {d for d, forms in objects.items() if any(e.modified > oldest for e in forms)}
        await self._mark({*roots, *named}, marks)
        unneeded = young - marks.needed
        await self._mark(young, marks)
        gone = [e for d, forms in objects.items() if d not in marks.needed for e in forms]
        return Garbage(
            artifacts=tuple(gone),
            names=tuple(old_names),
            unfinished=tuple(e for e in await self._backend.unfinished() if e.modified < oldest),
            kept=tuple(e for d in objects if d in marks.needed for e in objects[d]),
            young=tuple(e for d in unneeded for e in objects[d]),
            damaged=tuple(marks.damaged),
        )

    async def remove(self, garbage: Garbage, removed: Callable[[Entry], None]) -> list[str]:
        """Remove what was found; tell of each; return why single objects stay.

        Names go first, so that one that stays never leads to what is gone. May be ended at any
        time and done again. What has changed since the look is left alone.
        """
        stay: list[str] = []
        for group in (garbage.names, garbage.artifacts):
            async for entry, why in _each(group, self._remove):
                if why is None:
                    removed(entry)
                elif why:
                    stay.append(why)
        for entry in garbage.unfinished:
            await self._backend.delete_unfinished(entry)
            removed(entry)
        return stay

    async def _remove(self, entry: Entry) -> str | None:
        """Return None for an object that is gone now, else why it is not; "" for renewed."""
        now = await self._backend.head(entry.key)
        if now is None or now.modified != entry.modified:
            return ""
        try:
            await self._backend.delete(entry.key)
        except OutsideStore as error:
            return str(error)
        return None

    async def _names(
        self, notes: list[Entry], expired: Callable[[str, datetime], bool], marks: _Marks
    ) -> tuple[set[str], list[Entry]]:
        """Return the hashes that names point to which stay, and the names that do not."""
        named: set[str] = set()
        old: list[Entry] = []
        async for entry, data in _each(notes, lambda note: self._backend.get(note.key)):
            if data is None:
                continue
            try:
                note = read_note(data, noted_name(entry.key) or entry.key, self._backend.name)
            except StoreError:
                marks.damaged.append(entry.key)
                continue
            if expired(note.name, entry.modified):
                old.append(entry)
            else:
                named.add(note.ref.sha256)
        return named, old

    async def _mark(self, roots: Iterable[str], marks: _Marks) -> None:
        """Add the roots and all that they lead to."""
        wave = set(roots) - marks.needed
        while wave:
            marks.needed |= wave
            there = [digest for digest in wave if digest in marks.objects]
            found: set[str] = set()
            async for _, led in _each(there, lambda digest: self._led_to(digest, marks)):
                found |= led
            wave = found - marks.needed

    async def _led_to(self, digest: str, marks: _Marks) -> set[str]:
        """Return the hashes that an artifact names, in whichever form of it can be read."""
        refused: WrongKey | None = None
        for entry in marks.objects[digest]:
            try:
                return await self._references(entry)
            except WrongKey as error:
                refused = error
            except SealBroken:
                marks.damaged.append(entry.key)
        if refused is not None:
            raise WrongKey(f"artifact {digest}: {refused}; nothing was removed")
        return set()

    async def _references(self, entry: Entry) -> set[str]:
        if entry.size_bytes < DIGEST_BYTES:
            return set()
        scanner = ReferenceScanner()
        async for piece in self._plain_pieces(entry):
            if not await self._backend.run(partial(scanner.feed, piece)):
                break
        return scanner.found

    async def _plain_pieces(self, entry: Entry) -> AsyncIterator[bytes]:
        suffix = entry.key.rpartition("/")[2].partition(".")[2]
        if suffix and f".{suffix}" != self._sealer.suffix:
            raise WrongKey("it is sealed, and no keys are configured")
        opener = FrameOpener(self._sealer) if suffix else None
        for start in range(0, entry.size_bytes, RANGE_BYTES):
            end = min(start + RANGE_BYTES, entry.size_bytes)
            data = await self._backend.get_range(entry.key, start, end)
            if data is None:
                return
            for piece in [data] if opener is None else opener.feed(data):
                yield piece


async def _each(
    things: Sequence[T], work: Callable[[T], Awaitable[R]]
) -> AsyncIterator[tuple[T, R]]:
    """Yield things with what the work on them returned, some done at once."""
    for start in range(0, len(things), _AT_ONCE):
        some = things[start : start + _AT_ONCE]
        for thing, result in zip(some, await asyncio.gather(*map(work, some)), strict=True):
            yield thing, result

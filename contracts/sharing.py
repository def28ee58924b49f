"""What a run has at its providers: files that it uploaded, caches that it made.

It is part of the run's memory: whatever is in it is deleted at the end, unless it is to be kept.
"""

from datetime import datetime

from contracts.base import Frozen
from contracts.execution_state import CacheRef

SHARED_UNIT = "shared-context"
"""Whom a cache's costs belong to, in ledgers and bills; no step can have this name."""

CACHES, UPLOADS, LEASES = "caches/", "uploads/", "leases/"
"""Names in the store of what is there at the vendors, and of who is just making it."""

WARM_SIGNAL = "prefix_warm"
"""Tells a run that the first token of an answer is there, and so the prefix before it cached."""


class Uploaded(Frozen):
    """A file at a provider. `ours`: this run has uploaded it, and deletes it."""

    provider: str
    sha256: str
    uri: str
    ours: bool = True


class MadeCache(Frozen):
    """A cache of the shared context, for one model. `paid_as`: the attempt that pays for it.

    `until`: from then on it counts as gone. `ours`: this run has made it.
    """

    provider: str
    model: str
    ref: CacheRef
    made_at: datetime
    until: datetime
    paid_as: str = ""
    ours: bool = True


class SharingState(Frozen):
    """All of it, for a run that goes on in a new history."""

    uploads: tuple[Uploaded, ...] = ()
    caches: tuple[MadeCache, ...] = ()
    told: tuple[str, ...] = ()


class Kept(Frozen):
    """What a name in the store says of a file or a cache at a vendor: until when it is there."""

    name: str | None = None
    until: float = 0.0
    tokens: int | None = None


class PrefixWarm(Frozen):
    """Argument of the signal: which prefix."""

    key: str

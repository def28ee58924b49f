"""Errors of the stores.

```text
StoreError
├─ InvalidStoreUrl     also ValueError; the address of a store cannot be used as it is written
├─ StoreUnavailable    not reachable, not writable, or full; a later try may succeed
├─ OutsideStore        a link leads out of a local store's folder; nothing was touched
├─ ArtifactLost        .ref; what a reference names cannot be had any more
│  ├─ ArtifactMissing  the store answers, and does not hold it
│  └─ ArtifactCorrupt  what the store holds is not what the reference names
├─ SourceChanged       a file changed while it was being stored; nothing was stored
└─ SealingError        sealed bytes cannot be opened here
   ├─ WrongKey         another key sealed them; names the key's id, never the key
   └─ SealBroken       the right key, and the bytes are damaged
```

Mapped once, in `stores.backend`. No message ever holds a key, a credential, a URL's query or
any of the stored content.
"""

from contracts.artifacts import ArtifactRef


class StoreError(Exception):
    """Base of everything that the stores raise on purpose."""


class InvalidStoreUrl(StoreError, ValueError):
    """The address of a store cannot be used as it is written."""


class StoreUnavailable(StoreError):
    """The store could not be asked or could not take the bytes; a later try may succeed."""


class OutsideStore(StoreError):
    """A link leads out of a local store's folder; nothing was touched."""


class ArtifactLost(StoreError):
    """What a reference names cannot be had any more: ArtifactMissing or ArtifactCorrupt."""

    def __init__(self, ref: ArtifactRef, message: str) -> None:
        super().__init__(message)
        self.ref = ref

    def needed_by(self, who: str) -> None:
        """Say in the message who needs it: "run r-1"."""
        self.args = (f"{who} needs what cannot be had: {self}",)


class ArtifactMissing(ArtifactLost):
    """The store answers, and does not hold what the reference names."""

    def __init__(self, ref: ArtifactRef, store: str) -> None:
        size = f"{ref.size_bytes:,} bytes"
        super().__init__(ref, f"artifact {ref.sha256} ({size}) is not in {store}")


class ArtifactCorrupt(ArtifactLost):
    """What the store holds under a reference is not what was stored."""

    def __init__(self, ref: ArtifactRef, store: str, reason: str) -> None:
        super().__init__(ref, f"artifact {ref.sha256} in {store} is damaged: {reason}")


class SourceChanged(StoreError):
    """A file changed while it was being stored; nothing was stored."""


class SealingError(StoreError):
    """Sealed bytes cannot be opened here."""


class WrongKey(SealingError):
    """Another key sealed the bytes: it is not configured, or its id now names a different one."""


class SealBroken(SealingError):
    """The key is right and the sealed bytes are damaged."""

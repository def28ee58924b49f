"""Files of the caller's machine, put into the store as what was planned with.

A file is stored once: what has a reference already is only looked for by those who need to. A
file that is no longer what it was when it was looked at is refused, never sent.
"""

from config.sourcefiles import SourceError
from contracts.artifacts import ArtifactRef
from stores.artifacts import ArtifactStore
from stores.exceptions import SourceChanged


async def store_file(
    store: ArtifactStore, path: str, mime_type: str, sha256: str, since: str
) -> ArtifactRef:
    """Store a file whose digest is known from `since`, such as "the team was loaded".

    Raises SourceError where it cannot be read or has changed.
    """
    try:
        ref = await store.put_file(path, mime_type)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    except SourceChanged as error:
        raise SourceError(str(error)) from None
    if ref.sha256 != sha256:
        raise SourceError(f"{path} has changed since {since}")
    return ref

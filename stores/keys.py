"""Where things lie in a store: artifacts by their hash, names beside them.

```text
artifacts/ab/cdef…           an artifact, plain; sealed ones end in the sealer's suffix
runs/<run id>.ref            a name: {name, ref}
```
"""

import re

from pydantic import ValidationError

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from stores.exceptions import StoreError
from stores.naming import file_name, original_name

NOTE_SUFFIX = ".ref"

_artifact = re.compile(r"artifacts/([0-9a-f]{2})/([0-9a-f]{62})(\.[a-z0-9]+)?")


class Note(Frozen):
    """The content of a name's object. `name` is kept since long names are shortened in keys."""

    name: str
    ref: ArtifactRef


def artifact_key(sha256: str) -> str:
    """Return where an artifact lies in its plain form."""
    return f"artifacts/{sha256[:2]}/{sha256[2:]}"


def digest_of(key: str) -> str | None:
    """Return the hash of the artifact that lies there, in whichever form; None for other keys."""
    match = _artifact.fullmatch(key)
    return match[1] + match[2] if match else None


def note_key(name: str) -> str:
    """Return where a name lies. Raises ValueError for one that is the artifacts' own."""
    parts = [file_name(part) for part in name.split("/")]
    if parts[0] == "artifacts":
        raise ValueError("names below artifacts/ are taken by the artifacts themselves")
    return "/".join(parts) + NOTE_SUFFIX


def noted_name(key: str) -> str | None:
    """Return the name that lies there, or None where only the object's content can tell."""
    parts = [original_name(part) for part in key.removesuffix(NOTE_SUFFIX).split("/")]
    known = [part for part in parts if part is not None]
    return "/".join(known) if len(known) == len(parts) else None


def read_note(data: bytes, name: str, store: str) -> Note:
    """Return a name's content. Raises StoreError for a damaged one."""
    try:
        return Note.model_validate_json(data)
    except ValidationError:
        raise StoreError(f"the name {name!r} in {store} is damaged") from None

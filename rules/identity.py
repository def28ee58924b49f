"""What makes two prefixes the same: a digest of what they hold, wherever it lies. Pure."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from contracts.base import Frozen, Json
from contracts.execution import ExecutionPlan, FilePlaceholder, SourceFile
from contracts.execution_parts import StoredPart


def content_key(
    model: str, system: str | None, parts: Iterable[Frozen], files: Sequence[SourceFile]
) -> str:
    """Return the digest of a prefix, in hexadecimal.

    A file counts by the digest of its content and its type, not by its name, size or time.
    """
    named = [model, system, *(_identity(part, files) for part in parts)]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def request_key(plan: ExecutionPlan, index: int, provider: str) -> str:
    """Return the digest of all that decides a call's answer: whom it asks, how, and about what."""
    call = plan.calls[index]
    settings = call.settings.model_dump(mode="json")
    asked = content_key(plan.model, None, (*plan.shared_parts, *call.parts), plan.files)
    decides = ["execution", provider, settings, call.questions, asked]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _identity(part: Frozen, files: Sequence[SourceFile]) -> Json:
    if isinstance(part, FilePlaceholder):
        file = files[part.index]
        return ["file", file.sha256, file.mime_type]
    if isinstance(part, StoredPart):
        return ["stored", part.ref.sha256]
    return part.model_dump(mode="json")

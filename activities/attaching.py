"""A step's files as parts of its request: texts as text, all others as they are.

They are read from the store, which verifies them: what is sent is what was planned.
"""

from collections.abc import Iterable

from contracts.files import AttachedFile
from contracts.messages import ChatRequest, Message
from contracts.parts import FileInlinePart, Part, TextPart
from providers import media
from providers.exceptions import InvalidRequest
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactCorrupt, ArtifactMissing


async def attached(
    request: ChatRequest, files: Iterable[AttachedFile], store: ArtifactStore, run_id: str
) -> ChatRequest:
    """Return the request with files beside its first turn. Raises `InvalidRequest`."""
    parts = tuple([await _part(file, store, run_id) for file in files])
    if not parts:
        return request
    first, *others = request.messages
    with_files = Message(first.role, first.content, parts=(*first.parts, *parts))
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return ChatRequest(**{**fields, "messages": [with_files, *others]})


async def _part(file: AttachedFile, store: ArtifactStore, run_id: str) -> Part:
    if file.content is None:
        raise InvalidRequest(f"{file.path} was not stored for the workers", sent=False)
    try:
        data = await store.get_bytes(file.content)
    except (ArtifactMissing, ArtifactCorrupt) as error:
        raise InvalidRequest(
            f"file {file.name}, which run {run_id} needs: {error}", sent=False
        ) from None
    if media.modality(file.mime_type) == "text":
        return TextPart(text=f"{file.name}:\n{data.decode(errors='replace')}")
    return FileInlinePart(data=data, mime_type=file.mime_type, name=file.name)

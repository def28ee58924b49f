"""Files beside a message: into the store, counted, and judged by who shall read them.

One path for all that can be said with files: a session's content parts, the terminal's `/file`,
a Python caller's `Chat.say`. The rules are those of an agent's `files`: a kind that nobody who
answers takes is refused with who would take it, and what is sent inline has a bound.
"""

import asyncio
import copy
from collections.abc import Iterable, Sequence

from client.agent_plans import PlannedAgent
from client.planning import PlanError
from contracts.enclosures import Enclosed, FileLoad, MessageParts
from contracts.files import INLINE_BYTES
from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, Part
from contracts.plans import Candidate
from providers import media
from providers.capabilities import CapabilityTable
from stores.artifacts import ArtifactStore
from stores.messagefiles import by_reference, is_stored


class TooLarge(ValueError):
    """Files are more than a request holds; the text says how much that is."""


async def enclose(store: ArtifactStore, parts: Sequence[Part]) -> Enclosed:
    """Store a message's files; return what travels. Raises TooLarge, the store's errors."""
    check_size(parts)
    kept = (await by_reference(Message("user", "", parts=tuple(parts)), store)).parts
    counted = tuple([await _counted(one, stored) for one, stored in zip(parts, kept, strict=True)])
    ref = await store.put_json(MessageParts(parts=counted))
    return Enclosed(parts=ref, load=load_of(counted))


def check_size(parts: Iterable[Part]) -> None:
    """Refuse more than a request holds. Raises TooLarge."""
    size = sum(len(part.data) for part in parts if isinstance(part, FileInlinePart))
    if size > INLINE_BYTES:
        raise TooLarge(f"the files have {size:,} bytes together, {INLINE_BYTES:,} can be sent")


async def _counted(part: Part, stored: Part) -> Part:
    """Return a stored document with its pages."""
    if not isinstance(part, FileInlinePart) or not isinstance(stored, FileRefPart):
        return stored
    if media.modality(part.mime_type) != "pdf":
        return stored
    pages = await asyncio.to_thread(media.count_pages, part.data)
    return stored.model_copy(update={"pages": pages})


def load_of(parts: Iterable[Part]) -> FileLoad:
    """Return what stored files take of a prompt, whoever reads it."""
    files = [part for part in parts if isinstance(part, FileRefPart) and is_stored(part)]
    return sum((_load(file) for file in files), FileLoad())


def _load(file: FileRefPart) -> FileLoad:
    kind, size = media.modality(file.mime_type), file.size_bytes or 0
    name = media.NAME_BYTES if file.name else 0
    kinds = () if kind == "text" else (kind,)
    counted = FileLoad(tokens=name, size_bytes=size, kinds=kinds)
    if kind == "image":
        return counted + FileLoad(images=1)
    if kind == "pdf":
        return counted + (FileLoad(unpaged=1) if file.pages is None else FileLoad(pages=file.pages))
    return counted + FileLoad(tokens=media.file_tokens("", file.mime_type, size))


def takes(table: CapabilityTable, candidate: Candidate, kinds: Iterable[str]) -> bool:
    """Whether a candidate takes files of all these kinds; text everybody takes."""
    wanted = set(kinds) - {"text"}
    if not wanted:
        return True
    profile, _ = table.profile(candidate.provider, candidate.model)
    if profile is None or not wanted <= set(profile.modalities):
        return False
    return "image" not in wanted or "vision" in profile.capabilities


def taking(
    planned: PlannedAgent, table: CapabilityTable, kinds: Sequence[str], named: str = ""
) -> PlannedAgent:
    """Return the agent with those candidates that take files of all these kinds.

    `named` are the files, for the error: PlanError, with who would take them.
    """
    kept = [one for one in planned.plan.candidates if takes(table, one, kinds)]
    if not kept:
        raise PlanError([refusal(planned.plan.candidates, table, kinds, named)])
    return narrowed(planned, kept)


def refusal(
    candidates: Iterable[Candidate], table: CapabilityTable, kinds: Sequence[str], named: str = ""
) -> str:
    """Return what is said where nobody who answers takes files of these kinds."""
    asked = ", ".join(f"{one.provider} {one.model}" for one in candidates)
    wanted = [kind for kind in kinds if kind != "text"]
    takers = ", ".join(media.takers(table, wanted)) or "none that is known"
    what = f"{named}: " if named else ""
    return f"{what}{asked} takes no {' or '.join(wanted)} files; these would take them: {takers}"


def narrowed(planned: PlannedAgent, kept: Sequence[Candidate]) -> PlannedAgent:
    """Return the agent with only these candidates."""
    if len(kept) == len(planned.plan.candidates):
        return planned
    found = copy.copy(planned)
    found.plan = planned.plan.model_copy(update={"candidates": tuple(kept)})
    found.node = planned.node.model_copy(update={"candidates": tuple(range(len(kept)))})
    return found

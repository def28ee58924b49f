"""What a model step asks of whoever serves it: capabilities, kinds of files, room for them."""

from collections.abc import Iterable

from contracts.enclosures import FileRates
from contracts.files import AttachedFile
from contracts.plans import Candidate
from contracts.teams import ModelStep
from providers import media


def capabilities(step: ModelStep) -> tuple[str, ...]:
    """Return what the step itself asks of a model."""
    needed = []
    if step.tools:
        needed.append("tool_calling")
    if step.output.kind == "json":
        needed.append("json_mode")
    if step.llm_config.stop:
        needed.append("stop_sequences")
    if "image" in modalities(step):
        needed.append("vision")
    return tuple(needed)


def modalities(step: ModelStep) -> tuple[str, ...]:
    """Return the kinds of a step's files that not every model takes."""
    kinds = dict.fromkeys(media.modality(file.mime_type) for file in step.files)
    return tuple(kind for kind in kinds if kind != "text")


def file_tokens(files: Iterable[AttachedFile], candidate: Candidate) -> int:
    """Return the most that files take of a candidate's prompt."""
    return sum(
        media.NAME_BYTES
        + media.file_tokens(
            candidate.model, file.mime_type, file.size_bytes, candidate.context_window, file.pages
        )
        for file in files
    )


def rates_of(candidates: Iterable[Candidate]) -> FileRates:
    """Return the most that any of these counts for a picture, a page, a document without pages."""
    every = list(candidates)
    if not every:
        return FileRates()
    return FileRates(
        image=max(media.file_tokens(one.model, "image/png", 1) for one in every),
        page=max(media.file_tokens(one.model, "application/pdf", 1, pages=1) for one in every),
        whole=max(one.context_window or media.NOT_KNOWN_WINDOW for one in every),
    )

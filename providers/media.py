"""Files of a request: which kind a model must take, who takes it, how many tokens it is at most.

A text's bound is strict: its bytes. For the others it is what the vendors document, at the
dearest: a picture by its largest resolution, a document by its pages, sound by its seconds at the
lowest usual bit rate. A document whose pages cannot be counted is taken for as large as the
model's window, which no prompt passes. What a vendor reports beyond is billed as reported, and
flagged.
"""

import re
import zlib
from collections.abc import Iterable

from contracts.files import NAME_BYTES as NAME_BYTES
from contracts.files import REPLACED, kind_of
from providers.capabilities import CapabilityTable

NOT_KNOWN_WINDOW = 2_000_000
"""The largest window in use, for a model whose own is not known."""

IMAGE_TOKENS = {"gpt-4o-mini": 50_000, "gemini": 5_200, "claude": 5_000}
"""A picture at its largest: gpt-4o-mini counts 2,833 and 5,667 for each of up to eight tiles,
Gemini 258 for each of up to twenty, Claude 4,784."""

PAGE_TOKENS = {"gemini": 1_500}
"""A document's page, its picture and its text together."""

OTHER_IMAGE, OTHER_PAGE = 12_000, 8_000
"""Where the model's vendor says less: 10,000 patches of a picture; a dense page and its picture."""

SOUND_BYTES_A_TOKEN = 25
"""32 tokens a second (Gemini, the dearest) at 8 kbit, 1,000 bytes, a second."""

VIDEO_BYTES_A_TOKEN = 25

_MOST_INFLATED = 64 << 20
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_COUNT = re.compile(rb"/Type\s*/Pages\b[^>]*?/Count\s+(\d+)|/Count\s+(\d+)[^>]*?/Type\s*/Pages\b")
_STREAM = re.compile(rb"/ObjStm\b.{0,400}?stream\r?\n", re.DOTALL)


def modality(mime_type: str) -> str:
    """Return what a model must take for a file of this type: see `contracts.files.kind_of`."""
    return kind_of(mime_type)


def takers(table: CapabilityTable, modalities: Iterable[str]) -> list[str]:
    """Return the providers with a model that takes all of these, and that model's name pattern."""
    wanted = set(modalities)
    found = []
    for name, provider in table.providers.items():
        row = next((m for m in provider.models if wanted <= set(m.modalities)), None)
        if name != "simulated" and row is not None:
            found.append(f"{name} ({row.match[0]})")
    return found


def file_tokens(
    model: str, mime_type: str, size_bytes: int, window: int | None = None, pages: int | None = None
) -> int:
    """Return how many tokens of a model's prompt a file is at most."""
    most = window or NOT_KNOWN_WINDOW
    kind = modality(mime_type)
    if kind == "text":
        return size_bytes * REPLACED
    if kind == "image":
        return min(most, _of(IMAGE_TOKENS, model, OTHER_IMAGE))
    if kind == "pdf":
        return most if pages is None else min(most, pages * _of(PAGE_TOKENS, model, OTHER_PAGE))
    per = SOUND_BYTES_A_TOKEN if kind == "audio" else VIDEO_BYTES_A_TOKEN
    return min(most, -(-size_bytes // per))


def _of(table: dict[str, int], model: str, other: int) -> int:
    name = model.lower().removeprefix("models/")
    return next((tokens for start, tokens in table.items() if name.startswith(start)), other)


def count_pages(pdf: bytes) -> int | None:
    """Return the pages of a PDF document; None where it does not say, as in an encrypted one.

    Objects that are packed into compressed streams are looked at too. Never raises.
    """
    texts = [pdf, *_unpacked(pdf)]
    pages = sum(len(_PAGE.findall(text)) for text in texts)
    stated = [int(a or b) for text in texts for a, b in _COUNT.findall(text)]
    return max([pages, *stated]) or None


def _unpacked(pdf: bytes) -> Iterable[bytes]:
    left = _MOST_INFLATED
    for found in _STREAM.finditer(pdf):
        inflating = zlib.decompressobj()
        try:
            text = inflating.decompress(pdf[found.end() :], left)
        except zlib.error:
            continue
        left -= len(text)
        yield text
        if left <= 0:
            return

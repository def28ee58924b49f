"""Files of a request: their kinds, who takes them, how many tokens they are at most."""

import zlib

import pytest

from providers import media
from providers.capabilities import load_capabilities

pytestmark = pytest.mark.unit

PLAIN = b"%PDF-1.4\n1 0 obj <</Type /Pages /Count 3 /Kids []>>\n" + b"<</Type /Page>>\n" * 3


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [
        ("text/markdown", "text"),
        ("application/json", "text"),
        ("Application/PDF", "pdf"),
        ("image/png", "image"),
        ("audio/mpeg", "audio"),
        ("video/mp4", "video"),
        ("application/zip", "application/zip"),
    ],
)
def test_kinds(mime_type: str, kind: str) -> None:
    assert media.modality(mime_type) == kind


def test_pages_are_counted() -> None:
    assert media.count_pages(PLAIN) == 3
    assert media.count_pages(b"%PDF-1.4 nothing that is known") is None


def test_pages_in_compressed_objects_are_counted() -> None:
    packed = zlib.compress(b"<</Type/Page/Parent 2 0 R>> " * 7)
    pdf = b"%PDF-1.5\n5 0 obj <</Type/ObjStm/N 7>>\nstream\n" + packed + b"\nendstream\n"
    assert media.count_pages(pdf) == 7
    broken = pdf.replace(packed[:2], b"xx")
    assert media.count_pages(broken) is None


def test_a_text_has_no_more_tokens_than_bytes() -> None:
    assert media.file_tokens("gpt-4o", "text/plain", 1000, window=10) == 3000


def test_bounds_are_those_of_the_model_and_never_above_its_window() -> None:
    assert media.file_tokens("gpt-4o-mini", "image/png", 10) == 50_000
    assert media.file_tokens("gpt-4o", "image/png", 10) == media.OTHER_IMAGE
    assert media.file_tokens("gemini-2.5-pro", "application/pdf", 10, pages=4) == 6000
    assert media.file_tokens("claude-x", "application/pdf", 10, window=200_000) == 200_000
    assert media.file_tokens("claude-x", "application/pdf", 10, window=20_000, pages=9) == 20_000
    assert media.file_tokens("gemini-2.5-pro", "audio/mpeg", 2500) == 100


def test_takers_are_named_with_a_model() -> None:
    table = load_capabilities()
    takers = media.takers(table, ["audio"])
    assert takers
    assert [name.split()[0] for name in takers] == ["openai", "gemini"]
    assert "simulated" not in " ".join(media.takers(table, ["pdf"]))
    assert media.takers(table, ["smell"]) == []

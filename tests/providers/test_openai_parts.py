"""Parts of a message as OpenAI's two APIs have them: images, documents, sound, texts."""

import base64
from typing import Any

import pytest

from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.exceptions import InvalidRequest
from providers.spi import Message
from tests.providers.openai_bodies import chat, responses

pytestmark = pytest.mark.unit


PNG = FileInlinePart(data=b"\x89PNG", mime_type="image/png")
PNG_URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
PDF = FileInlinePart(data=b"%PDF", mime_type="application/pdf", name="a.pdf")
PDF_URL = "data:application/pdf;base64," + base64.b64encode(b"%PDF").decode()
WAV = FileInlinePart(data=b"RIFF", mime_type="audio/wav")
NOTE = FileInlinePart(data="grüße".encode(), mime_type="text/plain", name="n.txt")


@pytest.mark.parametrize(
    ("part", "as_chat", "as_responses"),
    [
        (
            TextPart(text="T"),
            {"type": "text", "text": "T"},
            {"type": "input_text", "text": "T"},
        ),
        (
            PNG,
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {"type": "input_image", "detail": "auto", "image_url": PNG_URL},
        ),
        (
            FileRefPart(uri="https://x/y.png", mime_type="image/png"),
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "input_image", "detail": "auto", "image_url": "https://x/y.png"},
        ),
        (
            PDF,
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF_URL}},
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF_URL},
        ),
        (
            FileRefPart(uri="file-1", mime_type="application/pdf"),
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_file", "file_id": "file-1"},
        ),
        (
            FileRefPart(uri="https://x/y.pdf", mime_type="application/pdf"),
            None,
            {"type": "input_file", "file_url": "https://x/y.pdf"},
        ),
        (
            WAV,
            {
                "type": "input_audio",
                "input_audio": {"data": base64.b64encode(b"RIFF").decode(), "format": "wav"},
            },
            None,
        ),
        (
            NOTE,
            {"type": "text", "text": "n.txt:\ngrüße"},
            {"type": "input_text", "text": "n.txt:\ngrüße"},
        ),
        (FileRefPart(uri="artifact:00", mime_type="application/pdf"), None, None),
    ],
)
def test_parts(part: Any, as_chat: Any, as_responses: Any) -> None:
    messages = [Message("user", "Look", parts=(part,))]
    for write, text_type, wanted, key in (
        (chat, "text", as_chat, "messages"),
        (responses, "input_text", as_responses, "input"),
    ):
        if wanted is None:
            with pytest.raises(InvalidRequest) as caught:
                write(messages=messages)
            assert not caught.value.sent
            assert part.mime_type in str(caught.value)
        else:
            content = write(messages=messages)[key][0]["content"]
            assert content == [{"type": text_type, "text": "Look"}, wanted]

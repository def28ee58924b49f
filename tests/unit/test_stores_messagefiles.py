"""Files of messages: bytes in the store, addresses in the conversation, and back."""

from pathlib import Path

import pytest

from contracts.messages import Message
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactMissing
from stores.jsontext import json_bytes
from stores.messagefiles import by_reference, is_stored, with_contents
from stores.scanning import digests_in

pytestmark = pytest.mark.unit

PICTURE = FileInlinePart(data=b"\x89PNG and more" * 1000, mime_type="image/png", name="a.png")
AFAR = FileRefPart(uri="file-123", mime_type="application/pdf")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(str(tmp_path))


async def test_what_goes_in_comes_out(store: ArtifactStore) -> None:
    said = Message("user", "Look", parts=(TextPart(text="here"), PICTURE, AFAR))
    kept = await by_reference(said, store)
    assert [is_stored(part) for part in kept.parts] == [False, True, False]
    assert len(json_bytes(kept)) < 600
    assert await with_contents([kept, Message("user", "Hello")], store) == [
        said,
        Message("user", "Hello"),
    ]
    assert await by_reference(kept, store) is kept


async def test_a_stored_conversation_keeps_its_files_from_being_collected(
    store: ArtifactStore,
) -> None:
    kept = await by_reference(Message("user", "", parts=(PICTURE,)), store)
    (part,) = kept.parts
    assert isinstance(part, FileRefPart)
    assert digests_in(json_bytes(kept)) == {part.uri.removeprefix("artifact:")}


async def test_a_file_that_is_gone_is_an_error_of_the_store(store: ArtifactStore) -> None:
    gone = FileRefPart(uri=f"artifact:{'0' * 64}", mime_type="image/png", size_bytes=3)
    with pytest.raises(ArtifactMissing):
        await with_contents([Message("user", "", parts=(gone,))], store)

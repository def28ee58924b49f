"""Pictures of a request: `image_url` parts whose address is the picture itself, as a data URL.

Other addresses are refused: what a server would fetch for its callers, it would fetch from within
its own network. What a picture is must be what its beginning says, so that a vendor is never paid
for refusing it.
"""

import base64
import binascii
from collections.abc import Iterable

from contracts.files import INLINE_BYTES
from contracts.parts import FileInlinePart
from serving.errors import ApiError, invalid

BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
"""The types that all vendors with eyes take."""

MOST_PICTURES = 50
"""Of one message."""


def picture(url: str, place: str) -> FileInlinePart:
    """Return the picture that a data URL is. Raises ApiError (400), which names the place."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "data":
        said = f"{place}: this server fetches nothing: send the picture itself, as a data: URL"
        raise invalid(said, place, "unsupported_content")
    head, comma, body = rest.partition(",")
    mime, *flags = (part.strip().lower() for part in head.split(";"))
    if not comma or "base64" not in flags:
        raise invalid(f"{place}: is no data URL in base64: data:image/png;base64,…", place)
    if mime not in BEGINNINGS:
        taken = ", ".join(BEGINNINGS)
        raise invalid(f"{place}: only {taken} are taken", place, "unsupported_content")
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{place}: its base64 is broken", place) from None
    if not data.startswith(BEGINNINGS[mime]):
        raise invalid(f"{place}: is no {mime.partition('/')[2].upper()} picture", place)
    return FileInlinePart(data=data, mime_type=mime)


def check_sizes(pictures: Iterable[FileInlinePart], place: str) -> None:
    """Refuse more pictures than any vendor takes. Raises ApiError (400, 413)."""
    sizes = [len(one.data) for one in pictures]
    if len(sizes) > MOST_PICTURES:
        raise invalid(f"{place}: {len(sizes)} pictures, {MOST_PICTURES} at most", place)
    if sum(sizes) > INLINE_BYTES:
        said = f"{place}: its pictures have {sum(sizes):,} bytes, {INLINE_BYTES:,} at most"
        raise ApiError(413, said, code="request_too_large", param=place)

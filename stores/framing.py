"""Sealed objects as a row of frames, so that a large one is sealed and opened piece by piece.

A frame is the length of a sealed piece (4 bytes, big-endian) and the piece. Frames that are
missing or in another order need no check here: what they hold is verified against its hash.
"""

from collections.abc import Iterable, Iterator

from stores.exceptions import SealBroken
from stores.sealing import Sealer

PIECE_BYTES = 1024 * 1024
"""Plain bytes per frame."""

_LENGTH_BYTES = 4
_LONGEST = 2 * PIECE_BYTES


def sealed_frames(sealer: Sealer, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the frames of a content given in parts; the same for any cutting into parts
    whose lengths are multiples of PIECE_BYTES."""
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            piece = sealer.seal(part[start : start + PIECE_BYTES])
            yield len(piece).to_bytes(_LENGTH_BYTES, "big") + piece


class FrameOpener:
    """Bytes of a sealed object in, plain pieces out, however the bytes are cut."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the plain pieces that are complete. Raises WrongKey, SealBroken."""
        self._rest += data
        pieces = []
        while len(self._rest) >= _LENGTH_BYTES:
            length = int.from_bytes(self._rest[:_LENGTH_BYTES], "big")
            if length > _LONGEST:
                raise SealBroken("a frame is longer than any that was written")
            end = _LENGTH_BYTES + length
            if len(self._rest) < end:
                break
            pieces.append(self._sealer.open(bytes(self._rest[_LENGTH_BYTES:end])))
            del self._rest[:end]
        return pieces

"""Finds the references in what artifacts and histories hold, without knowing what they are.

Strategy: whatever refers to an artifact names its SHA-256, so every 64 hexadecimal digits that
stand alone count as a reference, and every 43 characters of URL-safe base64 before a colon and a
number (contracts.brief: as turns spell it in histories). That is generous by intent: a text that
happens to look like one keeps an object that could go, never the reverse, and no contract of a
later version is missed. Only JSON refers to anything, plain or under zlib (as a run's carried
state is); other artifacts are told by their first bytes and not read on.
"""

import base64
import re
import zlib

DIGEST_BYTES = 64

_digest = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_short = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?=:[0-9])")
_JSON_BEGINS = b'{["'
_INFLATED_BYTES = 1024 * 1024


def digests_in(data: bytes) -> set[str]:
    """Return the hashes that bytes name."""
    found = {match.decode() for match in _digest.findall(data)}
    found.update(base64.urlsafe_b64decode(match + b"=").hex() for match in _short.findall(data))
    return found


class ReferenceScanner:
    """Bytes of one artifact in, however they are cut; the hashes that it names in `found`."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._begun = False
        self._rest = b""
        self._inflating: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bool:
        """Read on; say whether what follows can matter."""
        if not self._begun and len(self._rest) + len(data) < 2:
            self._rest += data
            return True
        if not self._begun and _is_zlib(self._rest + data):
            self._inflating = zlib.decompressobj()
            data, self._rest = self._rest + data, b""
            self._begun = True
        return self._inflate(data) if self._inflating else self._read(data)

    def _inflate(self, data: bytes) -> bool:
        """Read compressed bytes, so many at once that little can become a lot only in turns."""
        assert self._inflating is not None
        try:
            inflated = None
            while inflated is None or data or len(inflated) == _INFLATED_BYTES:
                inflated = self._inflating.decompress(data, _INFLATED_BYTES)
                self._read(inflated)
                data = self._inflating.unconsumed_tail
        except zlib.error:
            return False
        return not self._inflating.eof

    def _read(self, data: bytes) -> bool:
        data = self._rest + data
        if not self._begun:
            start = data.lstrip()
            if start:
                self._begun = True
                if start[:1] not in _JSON_BEGINS:
                    return False
        self.found |= digests_in(data)
        # A hash may go on in the next piece; one byte more tells whether it stands alone.
        self._rest = data[-(DIGEST_BYTES + 1) :]
        return True


def _is_zlib(data: bytes) -> bool:
    """Say whether bytes may be a zlib stream: its first two are a multiple of 31 (RFC 1950)."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0

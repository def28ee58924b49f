"""Finds the references in what artifacts and histories hold, without knowing what they are.

Strategy: whatever refers to an artifact names its SHA-256, so every 64 hexadecimal digits that
stand alone count as a reference. That is generous by intent: a text that happens to look like one
keeps an object that could go, never the reverse, and no contract of a later version is missed.
Only JSON refers to anything; other artifacts are told by their first byte and not read on.
"""

import re

DIGEST_BYTES = 64

_digest = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_JSON_BEGINS = b'{["'


def digests_in(data: bytes) -> set[str]:
    """Return the hashes that bytes name."""
    return {match.decode() for match in _digest.findall(data)}


class ReferenceScanner:
    """Bytes of one artifact in, however they are cut; the hashes that it names in `found`."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._begun = False
        self._rest = b""

    def feed(self, data: bytes) -> bool:
        """Read on; say whether what follows can matter."""
        if not self._begun:
            start = data.lstrip()
            if not start:
                return True
            self._begun = True
            if start[:1] not in _JSON_BEGINS:
                return False
        data = self._rest + data
        self.found |= digests_in(data)
        # A hash may go on in the next piece; one byte more tells whether it stands alone.
        self._rest = data[-(DIGEST_BYTES + 1) :]
        return True

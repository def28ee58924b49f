"""Sealing: what stands between the stores and the bytes they keep.

`Plain` keeps them as they are. `AesGcm` encrypts with AES-256-GCM. Keys have ids: the first of
the list seals, every one of it opens, so that a key is rotated by putting the new one in front
and dropping the old one when nothing sealed by it is needed any more.

Strategy: each sealed piece names its key's id and carries a check value of the key, so that a
wrong key is told from damaged bytes. Each piece is encrypted under a key of its own, derived
from the configured one and a random salt, so that no number of records exhausts a key's nonces.

```text
"cb1" | id length (1) | id | key check (8) | salt (16) | nonce (12) | ciphertext and tag
```
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from stores.exceptions import SealBroken, WrongKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MAGIC = b"cb1"
_CHECK_BYTES, _SALT_BYTES, _NONCE_BYTES = 8, 16, 12


class Sealer(Protocol):
    """Seals and opens pieces of bytes. Pure and safe to use from several threads.

    `suffix` marks the objects that it seals, so that sealed and plain ones never mix; empty
    means that bytes stay as they are.
    """

    @property
    def suffix(self) -> str:
        """What the names of sealed objects end in."""

    def seal(self, data: bytes) -> bytes:
        """Return sealed bytes; twice the same input need not give the same output."""

    def open(self, data: bytes) -> bytes:
        """Return what was sealed. Raises WrongKey, SealBroken."""


class Plain:
    """Keeps bytes as they are."""

    suffix = ""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        return data


PLAIN = Plain()


class AesGcm:
    """AES-256-GCM under keys with ids; see the module for the form and for rotation.

    `keys` are (id, base64 of 32 bytes), the first one for sealing. Raises ValueError, naming
    the id and never the key, for a key that is not one.
    """

    suffix = ".aesgcm"

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        self._keys: dict[bytes, bytes] = {}
        for name, text in keys:
            key_id = name.encode()
            if not 1 <= len(key_id) <= 64 or key_id in self._keys:
                raise ValueError(f"key id {name!r}: ids are unique and have 1 to 64 bytes")
            self._keys[key_id] = _decoded(name, text)
        if not self._keys:
            raise ValueError("sealing needs at least one key")
        self._current = next(iter(self._keys))

    @property
    def ids(self) -> tuple[str, ...]:
        """The keys' ids, the sealing one first."""
        return tuple(name.decode() for name in self._keys)

    @property
    def current_id(self) -> str:
        """The id of the key that seals."""
        return self._current.decode()

    def seal(self, data: bytes) -> bytes:
        key = self._keys[self._current]
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        head = _MAGIC + bytes([len(self._current)]) + self._current + _check(key)
        return head + salt + nonce + _cipher(key, salt).encrypt(nonce, data, head)

    def open(self, data: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        if data[:3] != _MAGIC or len(data) < 4:
            raise SealBroken("the bytes are not sealed, or their beginning is damaged")
        checked = 4 + data[3]
        salted = checked + _CHECK_BYTES
        key_id, check = data[4:checked], data[checked:salted]
        key = self._key(key_id, check)
        sealed = salted + _SALT_BYTES + _NONCE_BYTES
        salt, nonce = data[salted : salted + _SALT_BYTES], data[salted + _SALT_BYTES : sealed]
        try:
            return _cipher(key, salt).decrypt(nonce, data[sealed:], data[:salted])
        except (InvalidTag, ValueError):
            raise SealBroken("the sealed bytes are damaged or cut short") from None

    def _key(self, key_id: bytes, check: bytes) -> bytes:
        name = key_id.decode(errors="replace")
        key = self._keys.get(key_id)
        if key is None:
            known = ", ".join(known.decode() for known in self._keys)
            raise WrongKey(f"sealed with the key {name!r}, which is not configured (only {known})")
        if not hmac.compare_digest(_check(key), check):
            raise WrongKey(f"the configured key {name!r} is not the one that sealed this")
        return key


def _decoded(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"key {name!r} is not base64") from None
    if len(key) != 32:
        raise ValueError(f"key {name!r} has {len(key)} bytes; AES-256 takes 32")
    return key


def _check(key: bytes) -> bytes:
    return hmac.digest(key, b"callboard key check", hashlib.sha256)[:_CHECK_BYTES]


def _cipher(key: bytes, salt: bytes) -> "AESGCM":
    # Imported late: only those who set keys pay for it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(hmac.digest(key, b"callboard aesgcm " + salt, hashlib.sha256))

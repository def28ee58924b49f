"""Encryption of what the Temporal server keeps, with the keys of the stores.

Strategy: a payload codec under pydantic's converter, so that inputs, results, queries, updates,
heartbeats and summaries leave the process sealed, each under the first key of the list; failures'
messages and stack traces travel in such a payload too. What is plain stays readable, so keys can
be set while runs go on. Where keys are absent or wrong, the error names the key's id: a worker
fails the task, which the server hands out again until a worker has the key; a command ends.

In clear remain what the server itself works with: ids, types, queues, times, sizes, the kind of
a failure, and the search attributes (team, status, personas, cost, tokens).
"""

from collections.abc import Sequence
from typing import Any, Self

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadCodec,
)

from config.sealing import KEYS_VARIABLE
from stores.exceptions import SealBroken, WrongKey
from stores.sealing import PLAIN, AesGcm, Sealer

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
"""Metadata of a sealed payload: which key sealed it. For people; opening reads the seal itself."""


def data_converter(sealer: Sealer = PLAIN) -> DataConverter:
    """Return how values travel to the server and back: for clients, workers and replays.

    With `Plain` nothing is sealed, and reading what is raises WrongKey.
    """
    if not isinstance(sealer, AesGcm):
        return DataConverter(payload_converter_class=PlainPayloadConverter)
    return DataConverter(
        payload_converter_class=SharedPayloadConverter,
        payload_codec=SealingCodec(sealer),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


class SealingCodec(PayloadCodec):
    """Seals payloads whole, metadata included; opens sealed ones and lets others pass."""

    def __init__(self, sealer: AesGcm) -> None:
        self._sealer = sealer

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises WrongKey, SealBroken."""
        return [self._opened(payload) for payload in payloads]

    def _sealed(self, payload: Payload) -> Payload:
        return Payload(
            metadata={"encoding": ENCODING, KEY_ID: self._sealer.current_id.encode()},
            data=self._sealer.seal(payload.SerializeToString()),
        )

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        try:
            return Payload.FromString(self._sealer.open(payload.data))
        except WrongKey as error:
            raise WrongKey(f"a value of the Temporal server: {error}") from None
        except SealBroken as error:
            raise SealBroken(f"a value of the Temporal server cannot be read: {error}") from None


class _SealedElsewhere(EncodingPayloadConverter):
    """Takes nothing; tells what is missing when a sealed payload is read without keys."""

    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        name = payload.metadata.get(KEY_ID, b"?").decode(errors="replace")
        raise WrongKey(
            f"a value of the Temporal server is sealed with the key {name!r}, and no keys are "
            f"configured: name it in {KEYS_VARIABLE}"
        )


class SharedPayloadConverter(PydanticPayloadConverter):
    """Pydantic's converter, made once for the process.

    The SDK asks for a new one with each workflow and each of its tasks. This one always answers
    with the same: it has no state but the adapters of the types that it has met, which are dear.
    """

    def __new__(cls) -> Self:
        """Return the one of this class."""
        made: Self | None = cls.__dict__.get("_made")
        if made is None:
            made = super().__new__(cls)
            PydanticPayloadConverter.__init__(made)
            made._prepare()
            cls._made = made
        return made

    def __init__(self) -> None:
        """Do nothing: it was made whole."""

    def _prepare(self) -> None:
        """Add what a subclass has beside."""


class PlainPayloadConverter(SharedPayloadConverter):
    """The shared converter, and a clear error for what was sealed."""

    def _prepare(self) -> None:
        sealed = _SealedElsewhere()
        self.converters = {**self.converters, sealed.encoding.encode(): sealed}

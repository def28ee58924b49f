"""What the sandbox leaves out is needed by nobody: no part of our conversion looks at a context."""

from base64 import b64encode
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import CompositePayloadConverter, WithSerializationContext

from client.encryption import PlainPayloadConverter, SharedPayloadConverter, data_converter
from contracts.queues import OWN_CLIENT, provider_queue
from stores.exceptions import WrongKey
from stores.sealing import PLAIN, AesGcm, Sealer
from worker import workflow_runner
from workflows.outcome import heartbeat_timeout
from workflows.sandbox import ContextFreeSandbox

pytestmark = pytest.mark.unit


def test_no_converter_looks_at_a_context() -> None:
    converter = PlainPayloadConverter()
    assert isinstance(converter, CompositePayloadConverter)
    for each in converter.converters.values():
        assert not isinstance(each, WithSerializationContext), each


@pytest.mark.parametrize("sealer", [PLAIN, AesGcm([("KEY", b64encode(bytes(32)).decode())])])
def test_nor_does_a_codec_or_a_store(sealer: Sealer) -> None:
    converter = data_converter(sealer)
    assert not isinstance(converter.payload_codec, WithSerializationContext)
    assert not isinstance(converter.failure_converter, WithSerializationContext)
    assert converter.external_storage is None


def test_tests_and_replays_use_it() -> None:
    assert isinstance(workflow_runner(), ContextFreeSandbox)


@pytest.mark.parametrize("sealer", [PLAIN, AesGcm([("KEY", b64encode(bytes(32)).decode())])])
def test_all_of_a_process_share_one_converter(sealer: Sealer) -> None:
    made = data_converter(sealer).payload_converter_class
    assert made() is made()
    assert isinstance(made(), made)
    assert made().from_payloads(made().to_payloads(["a", 1]), [str, int]) == ["a", 1]


def test_only_the_plain_one_tells_of_what_is_sealed() -> None:
    sealed = Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"K7"})
    with pytest.raises(WrongKey, match="K7"):
        PlainPayloadConverter().from_payloads([sealed])
    with pytest.raises(KeyError, match="encoding"):
        SharedPayloadConverter().from_payloads([sealed])


def test_who_serves_a_callers_own_client_is_lost_later() -> None:
    own = heartbeat_timeout(provider_queue(f"{OWN_CLIENT}1234"))
    assert own > heartbeat_timeout(provider_queue("openai")) >= timedelta(seconds=5)

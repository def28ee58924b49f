"""What the sandbox leaves out is needed by nobody: no part of our conversion looks at a context."""

from base64 import b64encode

import pytest
from temporalio.converter import CompositePayloadConverter, WithSerializationContext

from client.encryption import PlainPayloadConverter, data_converter
from stores.sealing import PLAIN, AesGcm, Sealer
from worker import workflow_runner
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


def test_workers_use_it() -> None:
    assert isinstance(workflow_runner(), ContextFreeSandbox)

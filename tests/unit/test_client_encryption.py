"""The payload codec: what the server keeps is sealed, and keys are told apart."""

import base64

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from client.encryption import (
    ENCODING,
    KEY_ID,
    data_converter,
)
from client.sealers import configured_sealer, environment_sealer
from config.problems import ConfigError
from contracts.artifacts import Value
from stores.exceptions import SealBroken, WrongKey
from stores.sealing import PLAIN, AesGcm

pytestmark = pytest.mark.unit


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


OLD, NEW = ("KEY_2025", key("o")), ("KEY_2026", key("n"))
VALUE = Value(inline={"prompt": "attack at dawn"}, has_inline=True, preview="attack")


async def test_a_value_comes_back_and_is_not_seen_on_the_way() -> None:
    converter = data_converter(AesGcm([NEW]))
    (payload,) = await converter.encode([VALUE])
    assert payload.metadata["encoding"] == ENCODING
    assert payload.metadata[KEY_ID] == b"KEY_2026"
    assert b"attack" not in payload.SerializeToString()
    assert await converter.decode([payload], [Value]) == [VALUE]


async def test_plain_values_stay_readable_when_keys_are_set() -> None:
    (plain,) = await pydantic_data_converter.encode([VALUE])
    assert await data_converter(AesGcm([NEW])).decode([plain], [Value]) == [VALUE]
    assert (await data_converter().encode([VALUE]))[0] == plain


async def test_a_rotated_key_still_opens_what_it_sealed_and_seals_no_more() -> None:
    (before,) = await data_converter(AesGcm([OLD])).encode([VALUE])
    rotated = data_converter(AesGcm([NEW, OLD]))
    assert await rotated.decode([before], [Value]) == [VALUE]
    (after,) = await rotated.encode([VALUE])
    assert after.metadata[KEY_ID] == b"KEY_2026"
    with pytest.raises(WrongKey, match="'KEY_2025', which is not configured"):
        await data_converter(AesGcm([NEW])).decode([before], [Value])


async def test_missing_and_wrong_keys_are_named_and_give_no_garbage() -> None:
    (sealed,) = await data_converter(AesGcm([OLD])).encode([VALUE])
    with pytest.raises(WrongKey, match=r"'KEY_2025'.*no keys are configured"):
        await data_converter().decode([sealed], [Value])
    other = AesGcm([(OLD[0], key("x"))])
    with pytest.raises(WrongKey, match="'KEY_2025' is not the one"):
        await data_converter(other).decode([sealed], [Value])
    broken = Payload(metadata=sealed.metadata, data=sealed.data[:-1])
    with pytest.raises(SealBroken, match="damaged"):
        await data_converter(AesGcm([OLD])).decode([broken], [Value])


async def test_a_failures_message_and_details_are_sealed_and_its_kind_is_not() -> None:
    converter = data_converter(AesGcm([NEW]))
    failure = Failure()
    error = ApplicationError("no dawn attack", {"partial": "attack at"}, type="Refused")
    await converter.encode_failure(error, failure)
    written = failure.SerializeToString()
    assert b"dawn" not in written
    assert b"attack" not in written
    assert b"Refused" in written
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.details) == ("no dawn attack", ({"partial": "attack at"},))


def test_keys_come_from_the_variables_that_the_setting_names() -> None:
    assert environment_sealer({}) is PLAIN
    assert environment_sealer({"CALLBOARD_ENCRYPTION_KEYS": " "}) is PLAIN
    env = {"CALLBOARD_ENCRYPTION_KEYS": "B, A", "A": OLD[1], "B": NEW[1]}
    sealer = environment_sealer(env)
    assert isinstance(sealer, AesGcm)
    assert sealer.ids == ("B", "A")


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"CALLBOARD_ENCRYPTION_KEYS": "A,B", "A": NEW[1]}, "names B, which is not set"),
        ({"CALLBOARD_ENCRYPTION_KEYS": "A", "A": "hunter2!"}, "'A' is not base64"),
        ({"CALLBOARD_ENCRYPTION_KEYS": "A", "A": "aHVudGVyMg=="}, "'A' has 7 bytes"),
        ({"CALLBOARD_ENCRYPTION_KEYS": "aHVudGVyMg=="}, "must be names"),
    ],
)
def test_a_key_that_is_none_is_refused_by_its_name(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        environment_sealer(env)
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)


def test_no_names_mean_no_sealing() -> None:
    assert configured_sealer(()) is PLAIN

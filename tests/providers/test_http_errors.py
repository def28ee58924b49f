"""What a vendor's failure becomes: class, retryability, wait, and a text without secrets."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.exceptions import ProviderError
from providers.http_errors import (
    Origin,
    error_from_event,
    error_from_response,
    error_from_transport,
)
from providers.redaction import redact
from providers.retry_after import parse_retry_after, parse_retry_info
from providers.verdicts import decide, read_report

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ORIGIN = Origin("vendor", "model-1", ("EP_X_API_KEY", "X_API_KEY"), "EP_X_BASE_URL")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Saturday, 21-Nov-26 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:59:00 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "2026-11-21T12:00:30Z"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_parse_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    wanted = None if seconds is None else timedelta(seconds=seconds)
    assert parse_retry_after(headers, NOW) == wanted
    assert parse_retry_after(httpx2.Headers(headers) if _latin(headers) else headers, NOW) == wanted


def _latin(headers: dict[str, str]) -> bool:
    return all(value.isascii() for value in headers.values())


@given(st.text(), st.text())
def test_parse_retry_after_never_raises(ms: str, seconds: str) -> None:
    wait = parse_retry_after({"retry-after-ms": ms, "retry-after": seconds}, NOW)
    assert wait is None or wait > timedelta(0)


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([{"@type": "…RetryInfo", "retryDelay": "34.07s"}], 34.07),
        ([{"x": 1}, {"retryDelay": "3s"}], 3),
        ([{"retryDelay": "0s"}], None),
        ([{"retryDelay": 3}], None),
        ({"retryDelay": "3s"}, None),
        (None, None),
        (["retryDelay"], None),
    ],
)
def test_parse_retry_info(details: Any, seconds: float | None) -> None:
    wait = parse_retry_info(details)
    assert wait == (None if seconds is None else timedelta(seconds=seconds))


BODIES = [
    (400, {"error": {"message": "a/b is not a valid model ID"}}, "ModelNotFound", False),
    (400, {"message": "Invalid model: a", "type": "invalid_model"}, "ModelNotFound", False),
    (400, {"error": {"message": "Model Not Exist"}}, "ModelNotFound", False),
    (400, {"error": {"code": "model_decommissioned"}}, "ModelNotFound", False),
    (403, {"error": "Your team has run out of credits"}, "RateLimited", False),
    (403, {"error": {"message": "Key limit exceeded (monthly limit)"}}, "RateLimited", False),
    (
        400,
        {"error": {"message": "You have reached your specified API usage limits."}},
        "RateLimited",
        False,
    ),
    (429, {"error": {"type": "exceeded_current_quota_error"}}, "RateLimited", False),
    (400, {"error": {"type": "budget_exceeded", "code": "400"}}, "RateLimited", False),
    (
        400,
        {"error": {"message": "Output blocked by content filtering policy"}},
        "ContentRefused",
        False,
    ),
    (400, {"error": {"code": "data_inspection_failed"}}, "ContentRefused", False),
    (400, {"error": {"type": "exceed_context_size_error", "code": 400}}, "ContextTooLong", False),
    (400, {"error": {"message": "x.ContextWindowExceededError: y"}}, "ContextTooLong", False),
    (None, {"error": {"message": "m", "type": "RateLimitError"}}, "RateLimited", True),
    (None, {"error": {"message": "m", "type": "BadRequestError"}}, "InvalidRequest", False),
    (None, {"error": {"type": "ContextWindowExceededError"}}, "ContextTooLong", False),
    (None, {"error": {"type": "ServiceUnavailableError"}}, "Overloaded", True),
    (None, {"error": {"code": "ThrottlingException"}}, "RateLimited", True),
    (None, {"error": {"code": "image_too_large", "message": "m"}}, "InvalidRequest", False),
    (None, {"error": {"code": "image_content_policy_violation"}}, "ContentRefused", False),
    (None, {"error": {"message": "Your credit balance is too low"}}, "RateLimited", False),
    (400, {"errors": [{"code": "model_not_found", "message": "m"}]}, "ModelNotFound", False),
    (500, {"errors": [1, "x"]}, "ServerFailed", True),
    (429, {"error": {"code": "insufficient_quota", "message": "m"}}, "RateLimited", False),
    (429, {"error": {"type": "insufficient_quota", "message": "m"}}, "RateLimited", False),
    (400, {"error": {"code": "billing_hard_limit_reached"}}, "RateLimited", False),
    (402, {"error": {"message": "Insufficient Balance"}}, "RateLimited", False),
    (400, {"error": {"message": "Your credit balance is too low to access"}}, "RateLimited", False),
    (
        429,
        {"error": {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}}},
        "RateLimited",
        True,
    ),
    (
        429,
        {
            "type": "error",
            "error": {
                "type": "rate_limit_error",
                "details": {"error_code": "enforced_spend_limit_reached"},
            },
        },
        "RateLimited",
        False,
    ),
    (429, {"error": {"message": "You exceeded your current quota"}}, "RateLimited", True),
    (400, {"error": {"code": "context_length_exceeded", "message": "m"}}, "ContextTooLong", False),
    (400, {"error": {"message": "prompt is too long: 9 tokens > 8"}}, "ContextTooLong", False),
    (
        400,
        {"error": {"message": "The input token count (9) exceeds the maximum number of tokens"}},
        "ContextTooLong",
        False,
    ),
    (413, {"error": {"code": "rate_limit_exceeded", "message": "TPM"}}, "InvalidRequest", False),
    (400, {"error": {"code": "content_filter", "message": "m"}}, "ContentRefused", False),
    (403, {"error": {"code": 403, "message": "your input was flagged"}}, "ContentRefused", False),
    (400, {"error": {"status": "INVALID_ARGUMENT", "message": "API key not valid."}},
     "AuthenticationFailed", False),
    (400, {"error": "Incorrect API key provided.", "code": "invalid-argument"},
     "AuthenticationFailed", False),
    (400, {"error": {"code": "model_not_found", "message": "m"}}, "ModelNotFound", False),
    (404, {"error": {"message": "models/x is not found for v1"}}, "ModelNotFound", False),
    (404, {"error": {"message": "No such File object: file-1"}}, "InvalidRequest", False),
    (500, {"error": {"message": "The model is overloaded."}}, "Overloaded", True),
    (503, None, "Overloaded", True),
    (504, None, "ServerFailed", True),
    (520, None, "ServerFailed", True),
    (418, None, "InvalidRequest", False),
    (200, {"error": {"code": 502, "message": "gone"}}, "ServerFailed", True),
    (None, {"error": {"type": "overloaded_error"}}, "Overloaded", True),
    (None, {"error": {"code": 499, "status": "CANCELLED"}}, "ServerFailed", True),
    (None, {"code": "rate_limit_exceeded", "message": "m"}, "RateLimited", True),
    (None, {"error": {"type": "invalid_request_error"}}, "InvalidRequest", False),
    (None, {"error": {"type": "something new"}}, "ServerFailed", True),
    (None, {"error": "text only"}, "ServerFailed", True),
    (401, {"detail": "Invalid API Key"}, "AuthenticationFailed", False),
    (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "InvalidRequest", False),
    (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "m"}}],
     "InvalidRequest", False),
    (400, {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
     "InvalidRequest", False),
    # B20: transience is decided by codes, not by words that happen to stand in a text
    (400, {"error": {"message": "please avoid timeout words"}}, "InvalidRequest", False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "retryable"), BODIES)
def test_decide(status: int | None, body: Any, kind: str, retryable: bool) -> None:
    data = b"" if body is None else orjson.dumps(body)
    cls, again = decide(read_report(status, data))
    assert (cls.__name__, again) == (kind, retryable)


@given(
    st.one_of(st.none(), st.integers(100, 999)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "details", "status"]), inner
        ),
    ),
)  # fmt: skip
def test_any_body_becomes_one_error(status: int | None, body: Any) -> None:
    cls, retryable = decide(read_report(status, body))
    assert issubclass(cls, ProviderError)
    assert isinstance(retryable, bool)


@given(st.binary(max_size=200))
def test_any_bytes_become_one_error(body: bytes) -> None:
    error = error_from_response(ORIGIN, 500, {}, body, NOW)
    assert error.retryable
    assert error.status == 500


@pytest.mark.parametrize(
    ("status", "header", "retryable"),
    [(400, "true", True), (500, "false", False), (500, "maybe", True), (401, "true", False)],
)
def test_x_should_retry(status: int, header: str, retryable: bool) -> None:
    error = error_from_response(ORIGIN, status, {"X-Should-Retry": header}, b"{}", NOW)
    assert error.retryable is retryable


def test_a_spent_quota_is_final_whatever_the_header_says() -> None:
    body = b'{"error": {"code": "insufficient_quota", "message": "m"}}'
    error = error_from_response(ORIGIN, 429, {"x-should-retry": "true"}, body, NOW)
    assert not error.retryable
    assert "quota or spending limit" in str(error)


def test_the_text_names_the_cure() -> None:
    body = b'{"error": {"message": "no.", "type": "authentication_error"}}'
    headers = {"x-request-id": "req_1"}
    assert str(error_from_response(ORIGIN, 401, headers, body, NOW)) == (
        "vendor: no (401, authentication_error, request req_1). "
        "Set EP_X_API_KEY or X_API_KEY to a key that is valid here"
    )
    assert "'model-1', or EP_X_BASE_URL" in str(error_from_response(ORIGIN, 404, {}, b"{}", NOW))


def test_html_is_reduced_to_its_title() -> None:
    page = b"<!DOCTYPE html><html><title>502 Bad\n Gateway</title><body>private</body></html>"
    assert str(error_from_response(ORIGIN, 502, {}, page, NOW)) == "vendor: 502 Bad Gateway (502)"


def test_wait_from_header_and_from_body() -> None:
    body = {"error": {"code": 429, "details": [{"retryDelay": "3s"}]}}
    assert error_from_event(ORIGIN, body).retry_after == 3
    both = error_from_response(ORIGIN, 429, {"retry-after": "8"}, orjson.dumps(body), NOW)
    assert both.retry_after == 8


SECRETS = [
    "sk-proj-abcdefgh12345678",
    "sk-ant-api03-xyz_123-456",
    "sk-abc***********wxyz",
    "AIzaSyA1234567890abcdefgh",
    "gsk_abcdefghijklmnop",
    "Bearer abcdefghijkl.mnop",
    "x-api-key: 0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_key_is_removed(secret: str) -> None:
    shown = redact(f"Incorrect API key provided: {secret} (see the docs).")
    assert secret not in shown
    assert secret.split()[-1] not in shown
    assert "see the docs" in shown


def test_the_key_itself_is_removed_even_if_it_looks_like_nothing() -> None:
    assert redact("bad key plainword1", secrets=["plainword1"]) == "bad key [key]"


def test_the_prompt_is_not_quoted() -> None:
    prompt = "Tell me about the merger of Acme and Globex before it is announced.\nPlease."
    origin = Origin("vendor", private=(prompt,))
    said = "Invalid input: 'about the merger of Acme and Globex before it' is not allowed"
    for message in (said, f"cannot parse: {prompt}"):
        text = str(error_from_response(origin, 400, {}, orjson.dumps({"message": message}), NOW))
        assert "merger" not in text
        assert "[prompt]" in text
    assert redact("cannot parse: my secret", private=["my secret"]) == "cannot parse: [prompt]"
    assert redact("Invalid value: hi", private=["hi"]) == "Invalid value: hi"


def test_long_messages_are_trimmed() -> None:
    assert len(redact("word " * 1000)) <= 401


def _caused(error: Exception) -> Exception:
    wrapper = RuntimeError("Connection error.")
    wrapper.__cause__ = error
    return wrapper


@pytest.mark.parametrize(
    ("error", "started", "kind", "sent"),
    [
        (httpx2.ConnectError("refused"), False, "Unreachable", False),
        (httpx2.ConnectTimeout("slow"), False, "Unreachable", False),
        (httpx2.PoolTimeout("full"), False, "Unreachable", False),
        (httpx2.ProxyError("no"), False, "Unreachable", False),
        (httpx2.ReadError("reset"), False, "Unreachable", True),
        (httpx2.WriteError("reset"), False, "Unreachable", True),
        (httpx2.RemoteProtocolError("closed"), False, "Unreachable", True),
        (httpx2.RemoteProtocolError("closed"), True, "StreamInterrupted", True),
        (httpx2.ReadError("reset"), True, "StreamInterrupted", True),
        (httpx2.DecodingError("gzip"), True, "StreamInterrupted", True),
        (httpx2.ReadTimeout("slow"), False, "Timeout", True),
        (httpx2.ReadTimeout("slow"), True, "Timeout", True),
        (httpx2.UnsupportedProtocol("ftp"), False, "InvalidRequest", False),
        (httpx2.InvalidURL("?"), False, "InvalidRequest", False),
        (_caused(httpx2.ConnectError("refused")), False, "Unreachable", False),
        (_caused(_caused(httpx2.ReadTimeout("slow"))), True, "Timeout", True),
        (ssl.SSLError("handshake"), False, "Unreachable", True),
    ],
)
def test_transport(error: Exception, started: bool, kind: str, sent: bool) -> None:
    made = error_from_transport(ORIGIN, error, started)
    assert (made.kind, made.sent) == (kind, sent)
    assert made.retryable is (kind != "InvalidRequest")
    if kind == "Timeout":
        assert isinstance(made, TimeoutError)
        assert made.which == ("idle" if started else "first_token")

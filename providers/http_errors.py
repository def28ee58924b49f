"""From a failed call to one of `providers.exceptions`.

Promise: every failure (a status and a body, an error in the stream, a broken connection) becomes
one error with class, retryability, the wait that the vendor asked for, and a text that says what
to do next. Nothing here raises, and no text holds a key or a prompt.

Strategy: `providers.verdicts` judges what the vendor said; this module adds what the headers say
(Retry-After, x-should-retry), words the text and names the cure.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx2

from providers.exceptions import (
    AuthenticationFailed,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    ProviderError,
    RateLimited,
    StreamInterrupted,
    TimeoutError,
    Unreachable,
)
from providers.redaction import redact
from providers.retry_after import header, parse_retry_after, parse_retry_info
from providers.verdicts import Report, decide, read_report

_UNSENDABLE = (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.LocalProtocolError)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom an error is about, and what its text must not hold.

    `key_vars` are the environment variables that the key is read from, the preferred one first;
    `url_var` that of the address. `secrets` (keys) and `private` (the prompt's texts) are removed
    wherever they stand.
    """

    provider: str
    model: str = ""
    key_vars: tuple[str, ...] = ()
    url_var: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)


def error_from_response(
    origin: Origin,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime | None = None,
) -> ProviderError:
    """Return the error for an HTTP answer that is none: status, headers, the body's bytes."""
    report = read_report(status, body)
    wait = parse_retry_after(headers, now or datetime.now(UTC)) or parse_retry_info(report.details)
    return _error(origin, report, wait, _should_retry(headers), _request_id(headers))


def error_from_event(origin: Origin, payload: Any) -> ProviderError:
    """Return the error for an error object in a stream that began with status 200.

    `payload` is the parsed JSON, with or without {"error": …} around it, or bytes of it.
    """
    report = read_report(None, payload)
    return _error(origin, report, parse_retry_info(report.details), None, "")


def interrupted(origin: Origin, why: str) -> StreamInterrupted:
    """Return the error for a stream that broke off or cannot be read."""
    return StreamInterrupted(
        f"{origin.provider}: {redact(why, origin.secrets, origin.private)}",
        provider=origin.provider,
        model=origin.model,
    )


def error_from_transport(
    origin: Origin, error: BaseException, started: bool
) -> ProviderError | TimeoutError:
    """Return the error for an exception of the HTTP library, an SDK's wrapper around it included.

    `started`: the response's headers had arrived, so that an answer was interrupted.
    """
    cause = _root(error)
    name, model = origin.provider, origin.model
    why = redact(_reason(cause), origin.secrets, origin.private)
    check = f"; check {origin.url_var}" if origin.url_var else ""
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        text = f"{name}: no connection ({why}){check}"
        return Unreachable(text, sent=False, provider=name, model=model)
    if isinstance(cause, httpx2.PoolTimeout):
        text = f"{name}: no free connection in the pool"
        return Unreachable(text, sent=False, provider=name, model=model)
    if isinstance(cause, _UNSENDABLE):
        text = f"{name}: the request cannot be sent ({why}){check}"
        return InvalidRequest(text, sent=False, provider=name, model=model)
    if isinstance(cause, httpx2.ReadTimeout):
        text = f"{name}: no bytes within the connection's read timeout"
        which: Literal["idle", "first_token"] = "idle" if started else "first_token"
        return TimeoutError(text, which=which, provider=name, model=model)
    if started:
        return interrupted(origin, f"the connection broke in mid-answer ({why})")
    text = f"{name}: the connection broke before an answer ({why})"
    return Unreachable(text, provider=name, model=model)


def _error(
    origin: Origin, report: Report, wait: timedelta | None, retry: bool | None, request_id: str
) -> ProviderError:
    cls, retryable = decide(report)
    if retry is False or (retry is True and cls is not AuthenticationFailed):
        # A spent quota stays final, whatever the header says.
        retryable = retry and (retryable or cls is not RateLimited)
    return cls(
        _text(origin, cls, report, retryable, request_id),
        retryable=retryable,
        retry_after=wait.total_seconds() if wait is not None else None,
        provider=origin.provider,
        model=origin.model,
        status=report.status,
        code=report.code,
    )


def _text(
    origin: Origin, cls: type[ProviderError], report: Report, retryable: bool, request_id: str
) -> str:
    said = redact(report.message, origin.secrets, origin.private) or "no reason given"
    marks = [str(report.status) if report.status else "", report.code or "", request_id]
    mark = ", ".join(m for m in marks if m)
    text = f"{origin.provider}: {said.rstrip('.')}" + (f" ({mark})" if mark else "")
    cure = _cure(origin, cls, retryable, report.status)
    return f"{text}. {cure}" if cure else text


def _cure(origin: Origin, cls: type[ProviderError], retryable: bool, status: int | None) -> str:
    if cls is AuthenticationFailed and origin.key_vars:
        return f"Set {' or '.join(origin.key_vars)} to a key that is valid here"
    if cls is ModelNotFound:
        where = f", or {origin.url_var}" if origin.url_var else ""
        return f"Check the model name{f' {origin.model!r}' if origin.model else ''}{where}"
    if cls is RateLimited and not retryable:
        return "The account's quota or spending limit is used up: raise it, or use another provider"
    if status and 300 <= status < 400:
        return f"The address redirects; set {origin.url_var or 'the base URL'} to where it leads"
    if cls is ContextTooLong:
        return "Shorten the prompt, lower max_tokens, or use a model with a larger window"
    return ""


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    return {"true": True, "false": False}.get(header(headers, "x-should-retry").strip().lower())


def _request_id(headers: Mapping[str, str]) -> str:
    for name in ("x-request-id", "request-id"):
        value = header(headers, name)
        if value and len(value) <= 80 and value.isprintable():
            return f"request {value}"
    return ""


def _root(error: BaseException) -> BaseException:
    """The HTTP library's own exception under an SDK's wrappers."""
    seen = error
    for _ in range(5):
        if isinstance(seen, httpx2.HTTPError | httpx2.InvalidURL | ssl.SSLError):
            return seen
        below = seen.__cause__ or seen.__context__
        if below is None:
            return error
        seen = below
    return error


def _reason(error: BaseException) -> str:
    """The exception's class and short text; system texts hold neither keys nor prompts."""
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""How long a vendor asks us to wait."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*", re.ASCII)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)s\s*", re.ASCII)


def header(headers: Mapping[str, str], name: str) -> str:
    """Return a header's value, whatever the case of its name; "" if absent."""
    value = headers.get(name)
    if value is None:
        value = next((v for k, v in headers.items() if k.lower() == name), "")
    return value


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return the wait the server asked for, or None.

    Reads retry-after-ms (milliseconds), then Retry-After (seconds or HTTP-date,
    RFC 9110 §10.2.3). Zero, past and malformed values count as None.
    Never raises: a bad header must not hide the original error.
    """
    wait = _number(_NUMBER, header(headers, "retry-after-ms"), 0.001)
    if wait is None:
        value = header(headers, "retry-after")
        wait = _number(_NUMBER, value, 1.0)
        if wait is None:
            wait = _until(value, now)
    return wait if wait is not None and wait > timedelta(0) else None


def parse_retry_info(details: Any) -> timedelta | None:
    """Return the retryDelay of google.rpc.RetryInfo in an error's `details`, or None.

    Google puts the wait there ("34.07s") instead of into a header. Never raises.
    """
    if not isinstance(details, list):
        return None
    for entry in details:
        delay = entry.get("retryDelay") if isinstance(entry, dict) else None
        wait = _number(_DURATION, delay, 1.0) if isinstance(delay, str) else None
        if wait is not None and wait > timedelta(0):
            return wait
    return None


def _number(pattern: re.Pattern[str], text: str, unit_s: float) -> timedelta | None:
    match = pattern.fullmatch(text)
    try:
        return timedelta(seconds=float(match[1]) * unit_s) if match else None
    except OverflowError:
        return None


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return at - (now if now.tzinfo else now.replace(tzinfo=UTC))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

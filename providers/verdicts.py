"""A vendor's error, read into one form and judged by one function.

Promise: `decide` maps any report to exactly one class of `providers.exceptions` and says whether
another try may help. Pure; never raises.

Strategy: the four APIs, and the many servers that imitate them, share their words. `read_report`
reads any of their bodies into a `Report`; `decide` goes through one ordered list of rules: spent
quotas first, since they look like throttling; then what the codes say; then the status; then a
few fixed phrases where a vendor has no code.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from providers.characters import whole_json
from providers.exceptions import (
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFailed,
)


@dataclass(frozen=True)
class Report:
    """A vendor's error in one form.

    `codes` are all the words it uses for the kind of error, in lower case with underscores;
    `code` is the most telling one as the vendor writes it.
    """

    status: int | None = None
    codes: frozenset[str] = frozenset()
    message: str = ""
    details: Any = None
    code: str | None = None


_QUOTA = frozenset(
    (
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "spend_limit_reached",
        "insufficient_credits",
        "insufficient_balance",
        "credit_balance_too_low",
        "payment_required",
        "exceeded_current_quota_error",
        "budget_exceeded",
        "arrearage",
    )
)
_REFUSED = frozenset(
    (
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "moderation_blocked",
        "data_inspection_failed",
        "invalid_prompt",
        "bio_policy",
        "cyber_policy",
        "misalignment_policy_violation",
        "image_content_policy_violation",
        "content_policy_violation_error",
    )
)
_CONTEXT = frozenset(
    (
        "context_length_exceeded",
        "context_window_exceeded",
        "context_window_exceeded_error",
        "exceed_context_size_error",
        "string_above_max_length",
    )
)
_MODEL = frozenset(
    ("model_not_found", "deployment_not_found", "deploymentnotfound", "invalid_model",
     "model_decommissioned")
)  # fmt: skip
_AUTH = frozenset(
    (
        "authentication_error",
        "permission_error",
        "permission_denied",
        "permission_denied_error",
        "access_denied_exception",
        "unauthenticated",
        "invalid_api_key",
        "api_key_invalid",
        "invalid_authentication",
        "unauthorized",
        "forbidden",
    )
)
_OVERLOADED = frozenset(
    ("overloaded_error", "overloaded", "unavailable", "service_unavailable", "slow_down",
     "engine_overloaded", "engine_overloaded_error", "capacity_exceeded",
     "service_unavailable_error", "service_unavailable_exception")
)  # fmt: skip
_LIMITED = frozenset(
    ("rate_limit_error", "rate_limit_exceeded", "rate_limited", "resource_exhausted",
     "too_many_requests", "ramp_limit_exceeded", "rate_limit", "throttling", "throttling_error",
     "throttling_exception")
)  # fmt: skip
_BROKEN = frozenset(
    ("server_error", "api_error", "internal", "internal_error", "internal_server_error", "unknown",
     "timeout_error", "timeout", "deadline_exceeded", "cancelled", "aborted", "conflict_error",
     "vector_store_timeout", "data_loss")
)  # fmt: skip
_INVALID = frozenset(
    ("invalid_request_error", "invalid_argument", "failed_precondition", "out_of_range",
     "unimplemented", "request_too_large", "unprocessable_entity", "unprocessable_entity_error",
     "bad_request", "bad_request_error", "validation_error", "validation_exception",
     "data_residency_mismatch", "invalid_image", "invalid_image_format", "invalid_base64_image",
     "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error",
     "invalid_image_mode", "image_file_too_large", "unsupported_image_media_type",
     "empty_image_file", "failed_to_download_image", "image_file_not_found")
)  # fmt: skip

_SAYS_CONTEXT = re.compile(
    r"max(?:imum)? context length|context ?window|context (?:limit|size)|model token limit"
    r"|(?:prompt|input) (?:is )?too long|exceeds? the (?:model'?s? )?(?:maximum )?context"
    r"|input token count.{0,80}exceeds|too many input tokens"
    r"|reduce the length of the (?:messages|prompt)",
    re.I | re.S,
)
_SAYS_KEY = re.compile(
    r"(?:incorrect|invalid|missing|expired|wrong|no) (?:x-)?api[ -]?key"
    r"|api[ -]?key (?:not valid|expired|is invalid|not found)",
    re.I,
)
_SAYS_MODEL = re.compile(
    r"models?[ /:`'\"].{0,120}"
    r"(?:not found|does not exist|doesn't exist|not supported for|is not available)"
    r"|(?:no such|unknown|invalid) model",
    re.I | re.S,
)
_SAYS_NO_MODEL = re.compile(
    r"not a valid model|\bmodel not exist|invalid model(?: name| id)?\b"
    r"|model identifier is invalid|model .{0,80} has been decommissioned",
    re.I,
)
_SAYS_CREDIT = re.compile(
    r"credit balance is too low|insufficient (?:credits?|balance|funds)|spend(?:ing)? limit"
    r"|run out of credits|api usage limits|budget has been exceeded|key limit exceeded",
    re.I,
)
_SAYS_OVERLOADED = re.compile(r"overloaded|at capacity|model is busy", re.I)
_SAYS_THING = re.compile(r"\b(?:file|cachedcontents?|cache|response|container|batch)\b", re.I)
_SAYS_FILTERED = re.compile(r"blocked by content filter", re.I)
_SAYS_FLAGGED = re.compile(r"flagged|content management policy|safety system|moderation", re.I)


def decide(report: Report) -> tuple[type[ProviderError], bool]:
    """Return the error class of a report, and whether another try may help."""
    spent = _is_spent(report)
    cls = RateLimited if spent else _by_code(report) or _by_status(report) or _by_words(report)
    return cls, cls.default_retryable and not spent


def _is_spent(report: Report) -> bool:
    if report.codes & _QUOTA or report.status == 402:
        return True
    return report.status in (None, 400, 403, 429) and bool(_SAYS_CREDIT.search(report.message))


def _by_code(report: Report) -> type[ProviderError] | None:
    codes, text, status = report.codes, report.message, report.status or 0
    final = status < 500 and status not in (408, 409, 425, 429)
    if codes & _CONTEXT or (final and _SAYS_CONTEXT.search(text)):
        return ContextTooLong
    if codes & _MODEL or (status in (400, 422) and _SAYS_NO_MODEL.search(text)):
        return ModelNotFound
    if codes & _REFUSED or (status == 403 and _SAYS_FLAGGED.search(text)):
        return ContentRefused
    if final and _SAYS_FILTERED.search(text):
        return ContentRefused
    if codes & _AUTH or (final and _SAYS_KEY.search(text)):
        return AuthenticationFailed
    if codes & _OVERLOADED or (status >= 500 and _SAYS_OVERLOADED.search(text)):
        return Overloaded
    if codes & _LIMITED and status not in (400, 413):
        return RateLimited
    return None


_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ServerFailed,
    409: ServerFailed,
    425: ServerFailed,
    429: RateLimited,
    498: Overloaded,
    499: ServerFailed,
    503: Overloaded,
    529: Overloaded,
}


def _by_status(report: Report) -> type[ProviderError] | None:
    status = report.status
    if status is None or status < 300:
        return None
    if status < 400:
        return InvalidRequest
    if status == 400 and report.codes & {"not_found", "not_found_error"}:
        return ModelNotFound
    if status == 404 and report.message and not _is_about_model(report):
        return InvalidRequest
    return _STATUS.get(status) or (ServerFailed if status >= 500 else InvalidRequest)


def _is_about_model(report: Report) -> bool:
    """Tell a missing model from a missing file, cache or response, which have a 404 as well."""
    return not _SAYS_THING.search(report.message) or bool(_SAYS_MODEL.search(report.message))


def _by_words(report: Report) -> type[ProviderError]:
    """Without a status (an error in the stream), the codes are all there is."""
    if report.codes & {"not_found", "not_found_error"} and _is_about_model(report):
        return ModelNotFound
    if report.codes & (_INVALID | {"not_found", "not_found_error"}):
        return InvalidRequest
    if report.codes & _BROKEN:
        return ServerFailed
    if _SAYS_OVERLOADED.search(report.message):
        return Overloaded
    return ServerFailed


_CODE_KEYS = ("error_code", "code", "status", "reason", "type", "kind")
_LIST_LIMIT = 20


def read_report(status: int | None, body: Any) -> Report:
    """Read an error body (bytes, or JSON already parsed) of any of the vendors.

    Known forms: {"error": {…}}, {"error": "text", "code": …}, {"detail": …}, {"message": …},
    {"type": "error", "error": {…}}, a list of one of these, an HTML page, plain text, nothing.
    """
    payload = whole_json(_parsed(body))
    if isinstance(payload, list):
        payload = next((entry for entry in payload if isinstance(entry, dict)), {})
    if not isinstance(payload, dict):
        return Report(status, message=plain_text(str(payload or "")))
    listed = payload.get("errors")
    if not payload.get("error") and isinstance(listed, list):
        payload = next((entry for entry in listed if isinstance(entry, dict)), payload)
    inner = payload.get("error")
    nested = inner if isinstance(inner, dict) else payload
    words = _words(nested)
    return Report(
        status=_status(status, nested),
        codes=frozenset(form for word in words for form in _forms(word)),
        message=_message(nested, inner),
        details=nested.get("details") or payload.get("details"),
        code=next((word for word in words if not word.isdigit()), None),
    )


def _parsed(body: Any) -> Any:
    if not isinstance(body, bytes | bytearray):
        return body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return bytes(body[:65536]).decode("utf-8", "replace")


def plain_text(text: str) -> str:
    """Return a page's title, or any other text as it is."""
    if not re.search(r"<(?:!doctype|html|head|title|body)\b", text[:2048], re.I):
        return text.strip()
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
    return " ".join(title[1].split()) if title else "an HTML page"


def _words(error: dict[str, Any]) -> list[str]:
    """The vendor's words for the kind of error, the most telling first."""
    found = [error.get(key) for key in _CODE_KEYS]
    details = error.get("details")
    entries = details if isinstance(details, list) else [details]
    for entry in entries[:_LIST_LIMIT]:
        if isinstance(entry, dict):
            found += [entry.get(key) for key in ("error_code", "reason", "type")]
    return [
        str(word) for word in found if isinstance(word, str | int) and word not in ("", "error")
    ]


def _forms(word: str) -> tuple[str, str]:
    """A word in lower case with underscores: as it is, and with its capitals parted.

    Gateways give the names of exceptions: `RateLimitError`.
    """
    word = word.replace("-", "_").replace(" ", "_")
    return word.lower(), re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()


def _status(status: int | None, error: dict[str, Any]) -> int | None:
    """The HTTP status, or where there is none of an error the number that the body gives."""
    if status is not None and status >= 300:
        return status
    for key in ("code", "status", "status_code", "http_code"):
        value = error.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if type(value) is int and 400 <= value < 600:
            return value
    return None


def _message(error: dict[str, Any], inner: Any) -> str:
    if isinstance(inner, str):
        return plain_text(inner)
    for key in ("message", "detail", "msg", "error_message", "title", "description"):
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            return plain_text(value)
        if isinstance(value, list):
            return "; ".join(str(v.get("msg", "")) for v in value[:3] if isinstance(v, dict))
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return plain_text(value["message"])
    return ""

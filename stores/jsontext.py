"""Texts and JSON as bytes, the same bytes for the same value.

JSON is compact, non-ASCII text as it is; keys keep their order, which says something to a model
that fills in a schema, and to whoever reads its answer; decimals become strings, so that no
cent is lost to a float; pydantic models, dataclasses, dates and enums are accepted as pydantic
writes them. NaN and infinities are refused, since JSON cannot hold them.
"""

import json

from pydantic_core import from_json, to_jsonable_python

from contracts.base import Json


def text_bytes(text: str) -> bytes:
    """Return the UTF-8 of a text. Never raises.

    Models do emit half surrogate pairs: halves that belong together are joined, a lone one
    becomes U+FFFD. An answer that was paid for must not be lost over a character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def json_bytes(value: object) -> bytes:
    """Return a value's JSON. Raises ValueError for what JSON cannot hold."""
    plain = to_jsonable_python(value, bytes_mode="base64")
    try:
        text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("the value is nested too deeply for JSON") from None
    return text_bytes(text)


def json_value(data: bytes) -> Json:
    """Return what JSON bytes hold; integers of any size are exact. Raises ValueError."""
    return from_json(data, allow_inf_nan=False)

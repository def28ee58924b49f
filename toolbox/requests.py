"""`http` tools: one declared request, with the model's arguments in path, query and body.

An argument can only ever fill the place that its template gives it: in the path it is
percent-encoded, slashes and dots included, in the query it is one value, in a body one JSON
value. The host is never templated.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import orjson

from contracts.base import Json
from contracts.tools import HttpTool
from rules.templates import Reference, TemplateError, parse, render, text_of
from toolbox.calls import Env, Invocation, OfferedFunction, ToolResult, Tools
from toolbox.environment import filled, secrets
from toolbox.exceptions import BadArguments, ToolRaised
from toolbox.fetching import Fetcher, Sent

SHOWN_CHARS = 500
KEY_HEADER = "idempotency-key"
"""The IETF's draft-ietf-httpapi-idempotency-key-header; sent with methods that change things."""


class HttpTools(Tools):
    """One request."""

    def __init__(self, spec: HttpTool, env: Env, fetcher: Fetcher | None = None) -> None:
        self._spec, self._env = spec, env
        host = urlsplit(spec.url).hostname or ""
        self._fetcher = fetcher or Fetcher((host, *spec.allow), spec.private)

    async def offered(self) -> list[OfferedFunction]:
        secrets(self._spec.secrets, self._env)
        return [OfferedFunction(self._spec.description, self._spec.parameters or {})]

    async def call(self, invocation: Invocation) -> ToolResult:
        got = await self._fetcher.fetch(self._request(invocation))
        if got.status >= 400:
            shown = got.data[: SHOWN_CHARS * 4].decode(errors="replace")[:SHOWN_CHARS]
            raise ToolRaised(f"HTTP {got.status}: {shown}".strip().rstrip(":"))
        return got.result()

    async def aclose(self) -> None:
        """Nothing is kept between calls."""

    def _request(self, invocation: Invocation) -> Sent:
        spec, values = self._spec, invocation.arguments
        known = secrets(spec.secrets, self._env)
        headers = {name.lower(): filled(text, known) for name, text in spec.headers.items()}
        content = None
        try:
            url = request_url(spec, values)
            if spec.body is not None:
                content = orjson.dumps(filled_body(spec.body, values))
                headers.setdefault("content-type", "application/json")
        except TemplateError as error:
            raise BadArguments([str(error)]) from None
        if spec.method not in ("GET", "HEAD"):
            headers.setdefault(KEY_HEADER, invocation.idempotency_key)
        return Sent(spec.method, url, headers, content)


def request_url(spec: HttpTool, values: Mapping[str, Json]) -> str:
    """Return the URL with the arguments in it. Raises TemplateError."""
    parts = urlsplit(spec.url)
    path = "".join(
        _encoded(part, values) if isinstance(part, Reference) else part
        for part in parse(parts.path).parts
    )
    query = "".join(
        _encoded(part, values) if isinstance(part, Reference) else part
        for part in parse(parts.query).parts
    )
    added = {name: render(parse(text), values) for name, text in spec.query.items()}
    more = urlencode({name: text for name, text in added.items() if text})
    return urlunsplit(parts._replace(path=path, query="&".join(filter(None, [query, more]))))


def _encoded(reference: Reference, values: Mapping[str, Json]) -> str:
    """Return an argument as one piece of a path: ".." would lead out of it even encoded."""
    text = render(parse(str(reference)), values)
    if text in (".", ".."):
        raise TemplateError(f"{reference} must not be {text!r}", reference.position)
    return quote(text, safe="")


def filled_body(body: Json, values: Mapping[str, Json]) -> Json:
    """Return a body with its templates filled: one that is a reference alone keeps its type."""
    if isinstance(body, Mapping):
        return {key: filled_body(value, values) for key, value in body.items()}
    if isinstance(body, list):
        return [filled_body(value, values) for value in body]
    if not isinstance(body, str):
        return body
    template = parse(body)
    if len(template.parts) == 1 and isinstance(template.parts[0], Reference):
        return _value(template.parts[0], values)
    return render(template, values)


def _value(reference: Reference, values: Mapping[str, Json]) -> Any:
    value: Json = values.get(reference.name)
    for key in reference.path:
        value = value.get(str(key)) if isinstance(value, Mapping) else None
    if value is None and not reference.optional:
        raise TemplateError(f"{reference} is missing", reference.position)
    return value if value is None or not isinstance(value, str) else text_of(value)

"""What all endpoints work with, and what every request goes through: who asks, how much he sends.

Order of the checks: the host (where there are no keys), the key, then the body's type and size.
Nothing of a body is read before its sender is known.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from client.chats import Chats
from serving.accounts import Accounts
from serving.asking import load
from serving.callers import LOCAL, Caller, KeyRing
from serving.catalogue import Catalogue
from serving.errors import SERVER, ApiError, invalid, translated

MOST_BODY_BYTES = 4_000_000
MOST_DRAINED_BYTES = 64_000_000
"""Of a body that is too large: so much is read and thrown away, so that its sender hears why."""

DRAIN_S = 10.0
MOST_ID_CHARS = 200

THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "[::1]"})

IDEMPOTENCY_KEY = "idempotency-key"
SESSION = "callboard-session"


@dataclass(frozen=True)
class Gateway:
    """The parts. `hosts` are the names that callers may use where there are no keys."""

    chats: Chats
    catalogue: Catalogue
    keys: KeyRing
    accounts: Accounts
    ready: Callable[[], Awaitable[str | None]]
    most_body: int = MOST_BODY_BYTES
    hosts: frozenset[str] = THIS_MACHINE

    def caller(self, request: Request) -> Caller:
        """Return who asks. Raises ApiError (401, 403)."""
        if self.keys.open:
            self._check_host(request)
            return Caller(LOCAL)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not key:
            raise _unauthorized("no API key: send it as Authorization: Bearer KEY")
        found = self.keys.find(key)
        if found is None:
            raise _unauthorized("the API key is not known here")
        return found

    def _check_host(self, request: Request) -> None:
        """Refuse names that are not this machine's: another site's page may point its own here."""
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in self.hosts:
            raise ApiError(403, f"this server has no keys and does not answer to the name {name!r}")

    async def body(self, request: Request) -> bytes:
        """Return the body. Raises ApiError (413, 415)."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "the body must be sent as Content-Type: application/json")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.most_body:
            await self._drain(request)
            raise self._too_large()
        return await self._read(request)

    async def json(self, request: Request) -> Any:
        """Return the body as JSON; {} where there is none. Raises ApiError (400, 413, 415)."""
        if request.headers.get("content-length", "") == "0":
            return {}
        raw = await self.body(request)
        return load(raw) if raw.strip() else {}

    async def _read(self, request: Request) -> bytes:
        pieces, size = [], 0
        async for piece in request.stream():
            size += len(piece)
            if size > self.most_body:
                await self._drain(request)
                raise self._too_large()
            pieces.append(piece)
        return b"".join(pieces)

    async def _drain(self, request: Request) -> None:
        """Read on for a while: who is cut off in the middle of sending hears no reason."""
        left = MOST_DRAINED_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                async for piece in request.stream():
                    left -= len(piece)
                    if left < 0:
                        return
        except (TimeoutError, ClientDisconnect, RuntimeError):
            return

    def _too_large(self) -> ApiError:
        said = f"the body is larger than {self.most_body:,} bytes"
        return ApiError(413, said, code="request_too_large")


def request_id(request: Request) -> str | None:
    """Return the caller's own name for this request, if he gave one. Raises ApiError (400)."""
    given = request.headers.get(IDEMPOTENCY_KEY)
    if given is None:
        return None
    if not 0 < len(given) <= MOST_ID_CHARS:
        raise invalid(f"Idempotency-Key: 1 to {MOST_ID_CHARS} characters", "Idempotency-Key")
    return given


def digest(*parts: bytes | str) -> str:
    """Return a short name for texts: the same texts have the same."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()[:40]


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


async def told(request: Request, error: Exception) -> Response:
    """Return what a caller is told of an error."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    found = translated(error)
    if found is None:
        found = ApiError(500, "an internal error; the server's log has it", kind=SERVER)
    return JSONResponse(found.body(), found.status, found.headers)

"""The ASGI application: which address is answered by whom.

```text
POST /v1/chat/completions    GET /v1/models, /v1/models/{name}       OpenAI's protocol
…    /sessions…                                                       serving.session_api
GET  /healthz                this process lives
GET  /readyz                 a server is reached and workers answer
```

Browsers of other sites are let in only where `origins` names them.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.catalogue import Served
from serving.completions import Completions
from serving.errors import ApiError
from serving.gateway import Gateway, told
from serving.session_api import SessionApi
from serving.sessions import Sessions

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(gateway: Gateway, sessions: Sessions, origins: Sequence[str] = ()) -> Starlette:
    """Return the application."""
    api, completions = SessionApi(gateway, sessions), Completions(gateway, sessions)
    look = _Look(gateway)
    routes = [
        _route("/v1/chat/completions", POST=completions.create),
        _route("/v1/models", GET=look.models),
        _route("/v1/models/{name:path}", GET=look.model),
        _route("/sessions", GET=api.every, POST=api.begin),
        _route("/sessions/{id}", GET=api.one, DELETE=api.end),
        _route("/sessions/{id}/messages", GET=api.messages, POST=api.say),
        _route("/sessions/{id}/tools/{call_id}", POST=api.decide),
        _route("/sessions/{id}/compact", POST=api.compact),
        _route("/sessions/{id}/stop", POST=api.stop),
        _route("/healthz", GET=look.alive),
        _route("/readyz", GET=look.ready),
    ]
    return Starlette(
        routes=routes,
        middleware=[_cors(origins)] if origins else [],
        exception_handlers={HTTPException: _not_found},
    )


def _route(path: str, **methods: Endpoint) -> Route:
    """Return the route of one address; what it raises is told as every error."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            return await methods[method](request)
        except Exception as error:
            response = await told(request, error)
            if response.status_code == 500:
                log.exception("%s %s failed", request.method, path)
            return response

    return Route(path, answer, methods=list(methods))


def _cors(origins: Sequence[str]) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Callboard-Chat", "Callboard-Turn", "Location", "Retry-After"],
    )


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer for an address that there is not, or a method that it has not."""
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing at this address", 405: "this address has no such method"}
    found = ApiError(error.status_code, said.get(error.status_code, str(error.detail)))
    return JSONResponse(found.body(), found.status, error.headers)


class _Look:
    """What can be asked without spending anything."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def models(self, request: Request) -> Response:
        """List what a caller may ask."""
        caller = self._gateway.caller(request)
        found = [_model(one) for one in self._gateway.catalogue.all if caller.may_ask(one.name)]
        return JSONResponse({"object": "list", "data": found})

    async def model(self, request: Request) -> Response:
        """Tell of one."""
        caller = self._gateway.caller(request)
        served = self._gateway.catalogue.find(str(request.path_params["name"]))
        if not caller.may_ask(served.name):
            raise ApiError(403, f"this key may not ask {served.name}", code="model_not_allowed")
        return JSONResponse(_model(served))

    async def alive(self, request: Request) -> Response:
        """Say that this process lives."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Say whether an answer could be given."""
        missing = await self._gateway.ready()
        if missing is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unready", "reason": missing}, 503)


def _model(served: Served) -> dict[str, Any]:
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "callboard",
        "callboard": {"kind": served.kind, "description": served.agent.description},
    }

"""The endpoints of sessions: begin, look, end, say, follow, allow a tool call.

```text
POST   /sessions                          {"agent": NAME, "id"?: ID, "max_messages"?: N}
GET    /sessions                          a caller's own
GET    /sessions/{id}      DELETE …       how it stands; end it
POST   /sessions/{id}/messages            {"content": TEXT or parts, "stream"?, "wait"?, "clear"?}
GET    /sessions/{id}/messages            what is remembered; as an event stream: a turn (?turn=N)
POST   /sessions/{id}/tools/{call_id}     {"approved": true, "comment"?: TEXT}
POST   /sessions/{id}/compact             sums up what was said; answers as a message does
POST   /sessions/{id}/stop                ends the answer under way
```
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.asking import checked, user_message
from serving.bodies import UserContent
from serving.errors import ApiError, invalid
from serving.gateway import Gateway, request_id
from serving.session_views import Session, line, message_data, summary
from serving.sessions import Said, Sessions
from serving.sse import EventStream
from serving.turns import Position, Watch, outcome, stream

LAST_EVENT_ID = "last-event-id"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class _Begin(_Body):
    agent: Annotated[str, Field(min_length=1)]
    id: str | None = None
    max_messages: Annotated[int, Field(ge=1, le=100_000)] = 50


class _Say(_Body):
    content: UserContent
    stream: bool = False
    wait: bool = True
    clear: bool = False


class _Compact(_Body):
    stream: bool = False
    wait: bool = True


class _Word(_Body):
    approved: bool
    comment: Annotated[str, Field(max_length=2000)] = ""


class _Stop(_Body):
    turn: int | None = None


class SessionApi:
    """The endpoints."""

    def __init__(self, gateway: Gateway, sessions: Sessions) -> None:
        self._gateway, self._sessions = gateway, sessions

    async def begin(self, request: Request) -> Response:
        """Begin a session, or join the one of that id."""
        caller = self._gateway.caller(request)
        body = checked(_Begin, await self._gateway.json(request))
        served = self._gateway.catalogue.find(body.agent, "agent")
        session, new = await self._sessions.created(caller, served, body.id, body.max_messages)
        place = {"Location": f"/sessions/{session.id}"}
        return JSONResponse(summary(session), 201 if new else 200, place)

    async def every(self, request: Request) -> Response:
        """List a caller's sessions."""
        caller = self._gateway.caller(request)
        found = await self._sessions.listed(caller)
        return JSONResponse({"object": "list", "data": [line(one) for one in found]})

    async def one(self, request: Request) -> Response:
        """Tell how a session stands."""
        session = await self._sessions.found(self._gateway.caller(request), _id(request))
        return JSONResponse(summary(session))

    async def end(self, request: Request) -> Response:
        """End a session."""
        id = await self._sessions.ended(self._gateway.caller(request), _id(request))
        return JSONResponse({"id": id, "object": "session", "state": "terminated"})

    async def say(self, request: Request) -> Response:
        """Say something: the answer, its events as they come, or at once the turn's number."""
        caller = self._gateway.caller(request)
        body = checked(_Say, await self._gateway.json(request))
        session = await self._sessions.found(caller, _id(request))
        message = user_message(body.content, "content", "content")
        said = await self._sessions.say(session, message, request_id(request), clear=body.clear)
        return await self._answer(request, said, body.stream, body.wait)

    async def compact(self, request: Request) -> Response:
        """Sum up what was said: the summary is the answer of a turn of its own."""
        caller = self._gateway.caller(request)
        body = checked(_Compact, await self._gateway.json(request))
        session = await self._sessions.found(caller, _id(request))
        said = await self._sessions.compact(session, request_id(request))
        return await self._answer(request, said, body.stream, body.wait)

    async def _answer(self, request: Request, said: Said, streamed: bool, wait: bool) -> Response:
        """Return what comes of a turn, as it is wanted."""
        watch = Watch(said.chat, said.turn, self._gateway.accounts, said.entry, said.meter)
        if streamed or _wants_events(request):
            return self._stream(request, watch, said.place)
        if not wait:
            return JSONResponse({"turn": said.turn, "state": "waiting"}, 202)
        status, told = await outcome(watch, said.place)
        return JSONResponse(told, status)

    async def messages(self, request: Request) -> Response:
        """Return what is remembered, or follow a turn: that under way, else the last one."""
        caller = self._gateway.caller(request)
        session = await self._sessions.found(caller, _id(request))
        if not _wants_events(request):
            told = [message_data(one) for one in await session.chat.messages(session.view)]
            return JSONResponse({"object": "list", "data": told})
        back = Position.of(request.headers.get(LAST_EVENT_ID))
        turn = back.turn if back else _turn(request) or session.view.turn or session.view.last_turn
        if not turn:
            raise ApiError(409, "nothing was said yet", code="no_turn")
        if turn != session.view.turn:
            await _known(session, turn)
        return self._stream(request, Watch(session.chat, turn), 0)

    async def decide(self, request: Request) -> Response:
        """Give a person's word on a tool call that waits for one."""
        caller = self._gateway.caller(request)
        word = checked(_Word, await self._gateway.json(request))
        session = await self._sessions.found(caller, _id(request))
        call_id = str(request.path_params["call_id"])
        if call_id not in {one.call_id for one in session.view.pending}:
            said = f"no tool call {call_id} waits for a word"
            raise ApiError(404, said, code="call_not_found")
        done = await session.chat.decide(
            call_id, approved=word.approved, comment=word.comment, by=caller.name
        )
        return JSONResponse({"call_id": call_id, "approved": word.approved, "status": done.status})

    async def stop(self, request: Request) -> Response:
        """End the answer under way."""
        caller = self._gateway.caller(request)
        wanted = checked(_Stop, await self._gateway.json(request))
        session = await self._sessions.found(caller, _id(request))
        done = await session.chat.stop(wanted.turn)
        return JSONResponse({"status": done.status})

    def _stream(self, request: Request, watch: Watch, place: int) -> Response:
        """Follow a turn, from where the reader was if he comes back."""
        back = Position.of(request.headers.get(LAST_EVENT_ID))
        if back is None or back.turn != watch.turn:
            back = Position(watch.turn, place, place)
        if back.ended:
            return Response(status_code=204)
        return EventStream(stream(watch, back), {"Callboard-Turn": str(watch.turn)})


def _id(request: Request) -> str:
    return str(request.path_params["id"])


async def _known(session: Session, turn: int) -> None:
    """Raise ApiError (404) for a turn of a session that goes on, but not with that turn."""
    if session.view.phase == "terminated":
        return
    if (await session.chat.turn(turn)).state == "forgotten":
        said = f"there is no turn {turn}, or it is long forgotten: GET without it has what is kept"
        raise ApiError(404, said, code="turn_not_found", param="turn")


def _wants_events(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _turn(request: Request) -> int | None:
    given = request.query_params.get("turn")
    if given is None:
        return None
    if not given.isdigit() or not 0 < int(given) < 10**9:
        raise invalid("turn: must be a number from 1", "turn")
    return int(given)

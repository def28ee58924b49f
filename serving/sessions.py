"""Sessions: conversations that the server remembers, one durable chat each.

A session belongs to who began it: its id is a part of the workflow's, behind its owner's name, so
that nobody else can name it. One that nobody has said anything in for `ttl_s` is ended; there are
`most` open ones at most. Messages that are said while an answer is under way wait for their turn,
ten at most. What is known of sessions stands in their workflows: a restart of this server loses
nothing but the moment of a look.
"""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from client.chat.messages import MessageValidator
from client.chats import Chat, ChatError, ChatLine, Chats, UnknownChat
from client.connection import ServerUnreachable
from client.runs import ASK_LIMIT, NoWorker
from contracts.chats import AgentHeader, ChatResult, ChatView, SayAccepted
from contracts.messages import Message
from contracts.parts import FileInlinePart, TextPart
from contracts.plans import DEFAULT_MAX_TOKENS
from serving.accounts import Accounts
from serving.asking import Wishes
from serving.callers import Caller
from serving.catalogue import Catalogue, Ready, Served
from serving.errors import ApiError, invalid
from serving.gateway import digest
from serving.metering import CHARS_A_TOKEN, Meter
from serving.session_views import Session
from serving.windows import Ask

PREFIX = "serve"
TTL_S = 1800.0
MOST_SESSIONS = 1000
EXPIRED = "expired"

PATIENCE_S = 25.0
"""How long a request waits for a worker that can say how its session stands."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """A message that has its turn. `place` is where the spool was before it.

    `known`: it was said before, and `place` is the beginning.
    """

    chat: Chat
    turn: int
    entry: str
    meter: Meter
    place: int
    known: bool = False


@dataclass(frozen=True)
class _Sent:
    """What is said, for who counts it. `kinds` are those of the files that were shown before."""

    text: str = ""
    pictures: tuple[FileInlinePart, ...] = ()
    kinds: tuple[str, ...] = ()

    @classmethod
    def of(cls, message: Message) -> "_Sent":
        """Take a message apart."""
        texts = [message.content, *(p.text for p in message.parts if isinstance(p, TextPart))]
        pictures = tuple(p for p in message.parts if isinstance(p, FileInlinePart))
        return cls("".join(texts), pictures)

    @property
    def text_bytes(self) -> int:
        """The size of its texts."""
        return len(self.text.encode())


class Sessions:
    """All sessions. `clock` counts seconds since the epoch; `ttl_s` 0 is for ever."""

    def __init__(
        self,
        chats: Chats,
        catalogue: Catalogue,
        accounts: Accounts,
        *,
        ttl_s: float = TTL_S,
        most: int = MOST_SESSIONS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._chats, self._catalogue, self._accounts = chats, catalogue, accounts
        self._ttl_s, self._most, self._clock = ttl_s, most, clock
        self._touched: dict[str, float] = {}
        self._validator = MessageValidator()

    # from one to the other

    async def created(
        self, caller: Caller, served: Served, id: str | None, max_messages: int = 50
    ) -> tuple[Session, bool]:
        """Begin a session, or join the one of that id; return it, and whether it is new.

        Raises ApiError: 400 for the id, 403, 409 where another agent is talked to, 410, 429.
        """
        if not caller.may_ask(served.name):
            raise ApiError(403, f"this key may not ask {served.name}", code="model_not_allowed")
        id = uuid.uuid4().hex if id is None else checked_id(id)
        chat_id = _chat_id(caller, id)
        new = chat_id not in self._touched and await self._status(chat_id) is None
        if new and len(self._touched) >= self._most:
            said = f"there are {self._most} open sessions: end one, or try again later"
            raise ApiError(429, said, code="too_many_sessions", headers={"Retry-After": "60"})
        if new:
            self._touch(chat_id)
            try:
                header = await self._header(self._ready(served, _Sent()))
                await self._chats.open(chat_id, header, max_messages)
            except BaseException:
                self._touched.pop(chat_id, None)
                raise
        session = await self.found(caller, id)
        if session.view.agent != served.name:
            said = f"session {id} is a talk with {session.view.agent}"
            raise ApiError(409, said, code="session_exists")
        return session, new

    async def joined(self, caller: Caller, served: Served, id: str) -> Session:
        """Return the session of an id, begun if there is none. Raises as `created`."""
        return (await self.created(caller, served, id))[0]

    async def found(self, caller: Caller, id: str) -> Session:
        """Return an open session. Raises ApiError (404 unknown or expired, 410 ended), NoWorker."""
        chat_id = _chat_id(caller, checked_id(id))
        chat = self._chats.get(chat_id)
        status = await self._status(chat_id)
        if status is None:
            raise UnknownChat(id)
        if status is not WorkflowExecutionStatus.RUNNING:
            self._touched.pop(chat_id, None)
            raise await self._gone(chat, id)
        view = await _view(chat)
        if self._idle(view, self._touched.get(chat_id)):
            await self._expire(chat)
            raise _expired(id)
        self._touch(chat_id)
        return Session(id, caller, chat, view)

    async def ended(self, caller: Caller, id: str) -> str:
        """End a session; return its id. One that has ended stays so. Raises ApiError (404)."""
        chat_id = _chat_id(caller, checked_id(id))
        if await self._status(chat_id) is None:
            raise UnknownChat(id)
        await self._chats.get(chat_id).end("ended by its owner")
        self._touched.pop(chat_id, None)
        return id

    async def listed(self, caller: Caller, limit: int = 100) -> list[ChatLine]:
        """Return a caller's sessions, the newest first, with their own ids."""
        prefix, found = _chat_id(caller, ""), []
        for line in await self._lines(prefix, limit):
            id = line.chat_id.removeprefix(prefix)
            found.append(replace(line, chat_id=id))
        return found

    async def say(
        self, session: Session, message: Message, key: str | None = None, *, clear: bool = False
    ) -> Said:
        """Say a user's message, with its pictures; the same `key` twice is said once.

        Raises ApiError (400, 413, 429), ChatBusy, ChatOver, NoWorker.
        """
        text, parts, sent = message.content, message.parts, _Sent.of(message)
        valid, why = self._validator.validate(sent.text)
        if not valid and (sent.text.strip() or not sent.pictures):
            raise invalid(f"content: {why}", "content")

        async def send(request: str) -> SayAccepted:
            return await session.chat.say(text, request_id=request, clear=clear, parts=parts)

        # What is forgotten first is shown to nobody any more.
        before = () if clear else session.view.files.kinds
        return await self._sent(session, send, key, replace(sent, kinds=before))

    async def compact(self, session: Session, key: str | None = None) -> Said:
        """Have a session summed up; the same `key` twice is once.

        Raises ApiError (400 where there is nothing to sum up, 429), ChatBusy, ChatOver, NoWorker.
        """

        async def send(request: str) -> SayAccepted:
            return await session.chat.compact(request_id=request)

        return await self._sent(session, send, key, _Sent(kinds=session.view.files.kinds))

    async def _sent(
        self,
        session: Session,
        send: Callable[[str], Awaitable[SayAccepted]],
        key: str | None,
        sent: "_Sent",
    ) -> Said:
        """Send what takes a turn, once what the turn may cost is held."""
        chat, caller = session.chat, session.caller
        request = digest(key) if key is not None else uuid.uuid4().hex
        entry = f"{chat.chat_id}#{request}"
        served = self._catalogue.find(session.view.agent)
        shown = await self._brought_up(session, served, sent)
        most = served.agent.budget.turn
        admitted = await self._accounts.admit(
            Ask(
                id=entry,
                caller=caller.name,
                model=served.name,
                tokens=(sent.text_bytes + shown) // CHARS_A_TOKEN + _most_tokens(served),
                usd=most,
                least_usd=most,
                chat=chat.chat_id,
                request=request,
            ),
            caller,
        )
        place = await chat.place()
        try:
            said = await send(request)
        except ChatError:
            if not admitted.known:
                await self._accounts.release(entry)
            raise
        except BaseException:
            self._accounts.find_out(entry, chat, request)
            raise
        self._touch(chat.chat_id)
        self._accounts.settle_later(entry, chat, said.turn)
        return Said(
            chat=chat,
            turn=said.turn,
            entry=entry,
            meter=Meter(admitted.tokens_left, sent.text_bytes),
            place=0 if said.known else place,
            known=said.known,
        )

    async def _brought_up(self, session: Session, served: Served, sent: "_Sent") -> int:
        """Let the agent answer as it is served now: what it may cost in a turn is what is held.

        Of those who may answer, by whoever takes what is shown. Returns what that takes of a
        prompt. Raises ApiError (400) where nobody does.
        """
        ready = self._ready(served, sent)
        header = await self._header(ready)
        if header.plan != session.view.plan:
            await session.chat.use_agent(header)
        return ready.picture_tokens

    def _ready(self, served: Served, sent: "_Sent") -> Ready:
        return self._catalogue.ready(
            served, Wishes(), 0, tools=False, pictures=sent.pictures, kinds=sent.kinds
        )

    async def _header(self, ready: Ready) -> AgentHeader:
        """Return what a conversation is started with. Nobody is there to raise its budget."""
        header = await ready.planned.stored(self._chats.runs.store)
        return header.model_copy(update={"on_budget": "fail"})

    # upkeep

    async def keep(self) -> None:
        """End what has expired, now and then, until cancelled."""
        with contextlib.suppress(ServerUnreachable, RPCError):
            for line in await self._lines(f"{PREFIX}-", self._most * 2, only_open=True):
                self._touched.setdefault(line.chat_id, self._clock())
        while self._ttl_s:
            await asyncio.sleep(min(max(self._ttl_s / 4, 0.5), 60.0))
            await self._sweep()

    async def _sweep(self) -> None:
        old = self._clock() - self._ttl_s
        for chat_id in [id for id, at in self._touched.items() if at < old]:
            chat = self._chats.get(chat_id)
            try:
                if self._idle(await chat.view(), None):
                    await self._expire(chat)
                else:
                    self._touch(chat_id)
            except ChatError:
                self._touched.pop(chat_id, None)
            except (NoWorker, ServerUnreachable) as error:
                log.warning("session %s is not looked at: %s", chat_id, error)

    def _touch(self, chat_id: str) -> None:
        self._touched[chat_id] = self._clock()

    def _idle(self, view: ChatView, touched: float | None) -> bool:
        """Whether nobody has said anything for long, and no answer is under way."""
        if not self._ttl_s or view.turn is not None or view.waiting:
            return False
        ends = [a.ended_at for a in view.attempts if a.ended_at is not None]
        times = [at.timestamp() for at in (view.started_at, *ends) if at is not None]
        last = max([*times, touched or 0.0])
        return self._clock() - last > self._ttl_s

    async def _expire(self, chat: Chat) -> None:
        self._touched.pop(chat.chat_id, None)
        await chat.end(EXPIRED)

    async def _status(self, chat_id: str) -> WorkflowExecutionStatus | None:
        """Return a session's status, None where there is none. Raises ServerUnreachable."""
        try:
            found = await self._chats.get(chat_id).handle.describe(rpc_timeout=ASK_LIMIT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise ServerUnreachable(f"the Temporal server is away: {error.message}") from None
        return found.status

    async def _gone(self, chat: Chat, id: str) -> ApiError:
        """Return what is said of a session that has ended."""
        try:
            result: Any = await chat.handle.result(rpc_timeout=ASK_LIMIT)
        except (WorkflowFailureError, RPCError):
            result = None
        if isinstance(result, ChatResult) and result.reason == EXPIRED:
            return _expired(id)
        return ApiError(410, f"session {id} has ended: begin another", code="session_ended")

    async def _lines(self, prefix: str, limit: int, *, only_open: bool = False) -> list[ChatLine]:
        where = f"WorkflowId STARTS_WITH '{prefix}'"
        if only_open:
            where += " AND ExecutionStatus = 'Running'"
        return await self._chats.latest(limit, where)


async def _view(chat: Chat) -> ChatView:
    """Return how a session stands; a worker that is being replaced is waited for."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await chat.active()
    except TimeoutError:
        raise NoWorker(f"conversation {chat.chat_id}: no worker answers") from None


def _most_tokens(served: Served) -> int:
    """Return the tokens that one call of an agent's model may answer with."""
    return served.agent.model.params.max_tokens or DEFAULT_MAX_TOKENS


def checked_id(id: str) -> str:
    """Return an id that can be one. Raises ApiError (400)."""
    if _ID.fullmatch(id) is None:
        said = "a session's id has letters, digits, '.', '_' and '-', 100 at most"
        raise invalid(said, "id")
    return id


def _chat_id(caller: Caller, id: str) -> str:
    return f"{PREFIX}-{caller.name}-{id}"


def _expired(id: str) -> ApiError:
    said = f"session {id} has expired: nobody has said anything for long"
    return ApiError(404, said, code="session_expired")

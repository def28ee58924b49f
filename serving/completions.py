"""`POST /v1/chat/completions`: the whole conversation comes with the request, one answer goes back.

Each request is a durable conversation of its own that is over with its answer. With an
`Idempotency-Key` the same request is asked once: who repeats it, also after his connection or this
server was lost, gets the answer that there is or follows the one under way. Who hangs up ends
nothing: the answer goes on, and is paid.

With `Callboard-Session: ID` the last message is said in that session, which keeps the memory; what
else the request brings of the conversation is passed over.
"""

import logging
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from client.chats import Chat, ChatOver, StreamTrouble, TextPart
from client.completions import TURN, Question, ask
from contracts.agents import AgentSpec
from contracts.chats import AgentHeader, PendingTool, TurnResult
from contracts.teams import AgentStatus
from serving.asking import Asked, parse
from serving.callers import Caller
from serving.catalogue import Served
from serving.errors import ApiError, failed, invalid, translated
from serving.gateway import SESSION, Gateway, digest, request_id
from serving.metering import CHARS_A_TOKEN, Meter, token_limit
from serving.replies import Answer, Envelope, answer_of
from serving.sessions import Sessions
from serving.sse import DONE, PING, EventStream, event
from serving.telling import Telling
from serving.windows import Ask

log = logging.getLogger(__name__)

COMPLETION_ID = "completion"
"""What the ids of such conversations begin with."""


@dataclass(frozen=True)
class Going:
    """An answer under way. `entry` is its name in the accounts.

    `brought` counts the messages that the request brought; None in a session. `known`: it was
    asked before.
    """

    chat: Chat
    turn: int
    entry: str
    envelope: Envelope
    structured: bool
    meter: Meter
    brought: int | None = None
    place: int = 0
    known: bool = False


class Completions:
    """The endpoint."""

    def __init__(self, gateway: Gateway, sessions: Sessions) -> None:
        self._gateway, self._sessions = gateway, sessions

    async def create(self, request: Request) -> Response:
        """Answer a conversation."""
        caller = self._gateway.caller(request)
        raw = await self._gateway.body(request)
        asked = parse(raw)
        served = self._served(caller, asked.model)
        if (session := request.headers.get(SESSION)) is not None:
            going = await self._in_session(caller, served, asked, session, request_id(request))
        else:
            going = await self._begun(caller, served, asked, raw, request_id(request))
        headers = {"Callboard-Chat": going.envelope.chat_id}
        if asked.stream:
            return EventStream(self._stream(going, asked), headers)
        return JSONResponse(going.envelope.completion(await self._answer(going)), headers=headers)

    def _served(self, caller: Caller, model: str) -> Served:
        served = self._gateway.catalogue.find(model)
        if not caller.may_ask(served.name):
            raise ApiError(403, f"this key may not ask {model}", code="model_not_allowed")
        return served

    async def _begun(
        self, caller: Caller, served: Served, asked: Asked, raw: bytes, key: str | None
    ) -> Going:
        """Ask, once for each key."""
        if asked.tools and served.agent.tools:
            said = f"tools: {served.name} has tools of its own, which it calls itself"
            raise invalid(said, "tools", "unsupported_parameter")
        gateway, bring = self._gateway, bool(asked.tools)
        ready = gateway.catalogue.ready(
            served, asked.wishes, asked.prompt_bytes, tools=bring, pictures=asked.pictures
        )
        text_tokens = asked.text_bytes // CHARS_A_TOKEN + ready.picture_tokens // CHARS_A_TOKEN
        name = digest(caller.name, key) if key is not None else uuid.uuid4().hex
        chat_id = f"{COMPLETION_ID}-{caller.name}-{name}"
        admitted = await gateway.accounts.admit(
            Ask(
                id=chat_id,
                caller=caller.name,
                model=served.name,
                tokens=text_tokens + ready.planned.node.max_tokens,
                usd=ready.most,
                least_usd=ready.least,
                chat=chat_id,
            ),
            caller,
        )
        # From here on it is settled, whatever becomes of this request; what was not begun is free.
        gateway.accounts.settle_later(chat_id, gateway.chats.get(chat_id), TURN)
        question = Question(
            header=_capped(await ready.planned.stored(gateway.chats.runs.store), admitted.usd),
            messages=asked.messages,
            tools=asked.tools,
            digest=digest(raw),
            file_tokens=ready.picture_tokens,
        )
        chat = await ask(gateway.chats, chat_id, question)
        return Going(
            chat=chat,
            turn=TURN,
            entry=chat_id,
            envelope=Envelope(f"chatcmpl-{name}", served.name, int(time.time()), chat_id),
            structured=_structured(served.agent, asked),
            meter=Meter(admitted.tokens_left, asked.text_bytes),
            brought=len(asked.messages),
            known=admitted.known,
        )

    async def _in_session(
        self, caller: Caller, served: Served, asked: Asked, session: str, key: str | None
    ) -> Going:
        """Say the last message in a session."""
        if asked.tools or asked.wishes.any:
            why = f"with {SESSION} only model, messages and stream can be given"
            raise invalid(why, code="unsupported_parameter")
        last = asked.messages[-1]
        if last.role != "user":
            raise invalid("the last message must be the user's", "messages")
        open_session = await self._sessions.joined(caller, served, session)
        said = await self._sessions.say(open_session, last, key)
        id = f"chatcmpl-{digest(said.chat.chat_id, str(said.turn))}"
        return Going(
            chat=said.chat,
            turn=said.turn,
            entry=said.entry,
            envelope=Envelope(id, served.name, int(time.time()), session),
            structured=served.agent.response_format is not None,
            meter=said.meter,
            place=said.place,
            known=said.known,
        )

    # the whole answer

    async def _answer(self, going: Going) -> Answer:
        async with aclosing(going.chat.follow_placed(going.turn, going.place)) as found:
            async for placed in found:
                if placed is None:
                    continue
                if isinstance(placed.event, PendingTool):
                    await self._refuse_approval(going, placed.event)
                if isinstance(placed.event, TurnResult):
                    return await self._told(going, placed.event)
        raise ChatOver("unreachable: a turn that is followed has a result")

    async def _told(self, going: Going, result: TurnResult) -> Answer:
        self._gateway.accounts.ended(going.entry, result)
        if result.status is not AgentStatus.COMPLETED:
            raise failed(result)
        return await answer_of(
            going.chat, result, brought=going.brought, structured=going.structured
        )

    async def _refuse_approval(self, going: Going, pending: PendingTool) -> None:
        """End an answer for which a person would have to be asked: nobody is there."""
        if going.brought is not None:
            await going.chat.end(f"{pending.name} needs a person's word")
        raise ApiError(
            409,
            f"the tool {pending.name} needs a person's word: use POST /sessions, where a tool call "
            "can be approved",
            code="approval_required",
            headers={"x-should-retry": "false"},
        )

    # piece by piece

    async def _stream(self, going: Going, asked: Asked) -> AsyncGenerator[bytes, None]:
        """Yield the chunks; an error in their place ends them."""
        envelope = going.envelope
        yield event(envelope.chunk({"role": "assistant", "content": "", "refusal": None}))
        try:
            async with aclosing(self._chunks(going, asked)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except Exception as error:
            found = translated(error)
            if found is None:
                raise
            yield event(found.body())
            return
        yield DONE

    async def _chunks(self, going: Going, asked: Asked) -> AsyncGenerator[bytes, None]:
        telling, envelope = Telling(), going.envelope
        # Of what was written before, some may have been given up: it is told as it stands.
        behind = await going.chat.place() if going.known else 0
        async with aclosing(going.chat.follow_placed(going.turn, going.place)) as found:
            async for placed in found:
                match placed.event if placed is not None else None:
                    case None:
                        yield PING
                    case TextPart() as part:
                        if going.meter.over(part):
                            await self._cut(going)
                        assert placed is not None
                        text = telling.feed(part, held=placed.after < behind)
                        if text and not going.structured:
                            yield event(envelope.chunk({"content": text}))
                    case StreamTrouble(why) if why:
                        log.warning("the text of %s cannot be shown: %s", going.entry, why)
                    case PendingTool() as pending:
                        await self._refuse_approval(going, pending)
                    case TurnResult() as result:
                        for chunk in await self._ending(going, asked, telling, result):
                            yield chunk

    async def _ending(
        self, going: Going, asked: Asked, telling: Telling, result: TurnResult
    ) -> list[bytes]:
        """Return the last chunks."""
        envelope, answer = going.envelope, await self._told(going, result)
        if going.meter.spent(result):
            raise token_limit()
        rest = answer.text if going.structured else telling.finish(answer.text)
        if rest is None:
            said = "the answer became another one while it was given: ask again with the same"
            raise ApiError(409, f"{said} Idempotency-Key to get it", code="answer_restarted")
        chunks = [event(envelope.chunk({"content": rest}))] if rest else []
        for index, call in enumerate(answer.tool_calls):
            chunks.append(event(envelope.chunk({"tool_calls": [{"index": index, **call}]})))
        chunks.append(event(envelope.chunk({}, answer.finish_reason)))
        if asked.include_usage:
            chunks.append(event(envelope.last(result)))
        return chunks

    async def _cut(self, going: Going) -> None:
        """End an answer that has used up its caller's tokens."""
        self._gateway.accounts.used(going.entry, going.meter.used)
        if going.brought is None:
            await going.chat.stop(going.turn)
        else:
            await going.chat.end("tokens are used up")
        raise token_limit()


def _capped(header: AgentHeader, usd: Decimal) -> AgentHeader:
    """Return an agent that can spend so many dollars in all."""
    node = header.node.model_copy(update={"cost_limit": usd})
    return header.model_copy(update={"budget": usd, "node": node, "on_budget": "fail"})


def _structured(agent: AgentSpec, asked: Asked) -> bool:
    return asked.wishes.json_form or agent.response_format is not None

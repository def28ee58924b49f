"""Answers that were paid before: found again by what was asked, for as long as its author allows.

An identical request is one of the same provider (with its options), model, parameters, messages
and tools; who asks, and when, makes no difference. The answer of such a request lies in the store
under the digest of all that, with the time at which it was given. Only whole answers are kept: none
that failed, was cut at max_tokens, or asks for tools. Looking up and keeping are best effort: a
store that is away, or an answer that was collected, means that the request is made.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_jsonable_python
from temporalio import activity

from contracts.base import Frozen, Json
from contracts.calls import ANSWERS, ModelReply
from contracts.files import AttachedFile
from contracts.messages import ChatRequest, Usage
from contracts.plans import Candidate
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreError
from stores.values import load_value, store_value


class _Given(Frozen):
    """An answer: to whom it was given, and when, in seconds since 1970."""

    attempt: str
    at: float
    reply: ModelReply


def request_key(
    candidate: Candidate, request: ChatRequest, files: Iterable[AttachedFile] = ()
) -> str:
    """Return the digest of all that decides an answer; `files` are those it is asked about."""
    asked = {name: getattr(request, name) for name in request.__dataclass_fields__}
    del asked["metadata"], asked["cache_key"], asked["cache_lasts_s"]
    asked |= {"model": request.model or candidate.model, "provider": candidate.provider}
    asked["options"] = candidate.options
    asked["files"] = [[file.name, file.mime_type, file.sha256] for file in files]
    plain = to_jsonable_python(asked, bytes_mode="base64", serialize_unknown=True)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class KnownAnswers:
    """Answers by request, on one store. `clock` is in seconds since 1970."""

    def __init__(self, store: ArtifactStore, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock

    async def find(self, key: str, within_s: float, want_inline: bool) -> ModelReply | None:
        """Return an answer that is no older, as one that costs nothing, or None."""
        try:
            ref = await self._store.lookup(_name(key))
            if ref is None:
                return None
            given = await self._store.get_model(ref, _Given)
            if not 0 <= self._clock() - given.at <= within_s:
                return None
            value = await load_value(self._store, given.reply.output)
            output = await store_value(self._store, value, want_inline=want_inline)
        except StoreError as error:
            activity.logger.warning("no answer is reused: %s", type(error).__name__)
            return None
        now = datetime.now(UTC)
        return given.reply.model_copy(
            update={
                "output": output,
                "usage": Usage(),
                "reused_from": given.attempt,
                "started_at": now,
                "first_token_at": None,
                "ended_at": now,
                "notes": (*given.reply.notes, f"reused from {given.attempt}"),
            }
        )

    async def keep(self, key: str, attempt: str, reply: ModelReply) -> None:
        """Keep an answer for others, if it is a whole one."""
        if not reusable(reply):
            return
        given = _Given(attempt=attempt, at=self._clock(), reply=_bare(reply))
        try:
            await self._store.note(_name(key), await self._store.put_json(given))
        except StoreError as error:
            activity.logger.warning("an answer is not kept: %s", type(error).__name__)


def reusable(reply: ModelReply) -> bool:
    """Whether an answer may stand for another's: whole, and no call of tools."""
    return reply.finish_reason == "stop" and not reply.tool_calls


def text_of(value: Json) -> str:
    """Return an answer's text as whoever watches is shown it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(key: str) -> str:
    return f"{ANSWERS}{key}"


def _bare(reply: ModelReply) -> ModelReply:
    """Return a reply without what is carried inline: that is in the store."""
    output: dict[str, Any] = {"inline": None, "has_inline": False}
    return reply.model_copy(update={"output": reply.output.model_copy(update=output)})

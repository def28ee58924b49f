"""Answers in OpenAI's form: a completion, and the chunks of one that is streamed.

Beside OpenAI's own fields stands `callboard`: the durable conversation behind the answer, who gave
it, what it cost.
"""

import json
from dataclasses import dataclass
from typing import Any

from client.chats import Chat
from contracts.base import Json
from contracts.chats import AskedTool, TurnResult
from contracts.messages import Usage
from serving.telling import joined
from stores.transcripts import Transcripts
from stores.values import load_value

FINISH = {"refusal": "content_filter", "pause": "stop"}
"""Of ours that OpenAI's clients do not know."""


@dataclass(frozen=True)
class Answer:
    """A turn's answer as it is told. `tool_calls` are of the caller's own tools."""

    result: TurnResult
    text: str
    tool_calls: tuple[dict[str, Any], ...]

    @property
    def finish_reason(self) -> str:
        """Why it ended, in OpenAI's words."""
        if self.tool_calls:
            return "tool_calls"
        found = self.result.finish_reason or "stop"
        return FINISH.get(found, found)


@dataclass(frozen=True)
class Envelope:
    """What all pieces of an answer say: `id`, the model's name as it was asked for, when."""

    id: str
    model: str
    created: int
    chat_id: str

    def completion(self, answer: Answer) -> dict[str, Any]:
        """Return a whole answer."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.tool_calls:
            message["content"] = answer.text or None
            message["tool_calls"] = list(answer.tool_calls)
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": answer.finish_reason,
        }
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage(answer.result.usage),
            "callboard": self.extra(answer.result),
        }

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """Return a piece of an answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last(self, result: TurnResult) -> dict[str, Any]:
        """Return the piece that tells the tokens."""
        head = self._head("chat.completion.chunk")
        return {
            **head,
            "choices": [],
            "usage": usage(result.usage),
            "callboard": self.extra(result),
        }

    def extra(self, result: TurnResult) -> dict[str, Any]:
        """Return what is ours."""
        return {"chat_id": self.chat_id, **figures(result)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def figures(result: TurnResult) -> dict[str, Any]:
    """Return who answered, and what it took."""
    return {
        "provider": result.provider,
        "model": result.model,
        "cost_usd": f"{result.cost.normalize():f}",
        "calls": result.calls,
        "attempts": result.attempts,
        "notes": list(result.notes),
    }


def usage(used: Usage | None) -> dict[str, Any]:
    """Return the tokens of a turn."""
    used = used or Usage()
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }


async def answer_of(
    chat: Chat, result: TurnResult, *, brought: int | None = None, structured: bool = False
) -> Answer:
    """Return what a completed turn has to say: the text of all its calls.

    `brought` is how many messages the caller brought along; None: his was the last of the user's.
    `structured`: the text is data, and that of the last call alone. A turn that only summed up
    says its summary. Raises the store's errors.
    """
    if result.transcript is None:
        said = await chat.output(result)
        return Answer(result, said if isinstance(said, str) else "", ())
    messages = await Transcripts(chat.store).read(result.transcript)
    if brought is None:
        brought = 1 + max((n for n, m in enumerate(messages) if m.role == "user"), default=-1)
    texts = [m.content for m in messages[brought:] if m.role == "assistant"]
    calls = [await _call(chat, one) for one in result.asked]
    return Answer(result, texts[-1] if structured and texts else joined(texts), tuple(calls))


async def _call(chat: Chat, asked: AskedTool) -> dict[str, Any]:
    arguments: Json = await load_value(chat.store, asked.arguments)
    written = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": asked.id,
        "type": "function",
        "function": {"name": asked.name, "arguments": written},
    }

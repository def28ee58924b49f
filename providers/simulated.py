"""The simulated provider: honest work on its input, offline, with any fault on demand.

Deterministic: the same request and seed give the same answer, tokens and pace. An answer is
extracted from the text in the request (`providers.simulation.answering`), fills the schema that
was asked for (`.structured`) or calls a tool (`.toolcalls`); it is cut at `max_tokens` and at
stop sequences and streamed word by word. Usage is counted by `providers.tokens`, which never
counts more tokens than bytes; of a prefix that is cached, the first request writes the tokens and
the others read them. Faults (`.faults`) fail as real providers do: what was refused at
the door is not billed, what was answered is.
"""

import asyncio
import json
import os
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import ValidationError

from contracts.messages import ChatChunk, ChatRequest, ToolCall, Usage
from providers import tokens
from providers.exceptions import (
    AuthenticationFailed,
    ContentRefused,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    RouterError,
    ServerFailed,
    StreamInterrupted,
    Unreachable,
)
from providers.prefixes import SHORT_LIFE_S, prefix_key
from providers.simulation import answering, structured, toolcalls
from providers.simulation.asking import understand
from providers.simulation.faults import Fault, FaultCount, Simulation
from providers.spi import LLMClient

__all__ = ["Fault", "SimulatedClient", "Simulation"]

_ERRORS: dict[str, tuple[type[ProviderError], int | None, str]] = {
    "refuse": (ContentRefused, 200, "the content was refused"),
    "rate_limit": (RateLimited, 429, "too many requests"),
    "overloaded": (Overloaded, 529, "the provider is overloaded"),
    "server_error": (ServerFailed, 500, "the provider broke"),
    "unreachable": (Unreachable, None, "connection refused"),
    "auth": (AuthenticationFailed, 401, "the key is not valid"),
    "invalid_request": (InvalidRequest, 400, "the request is not valid"),
    "context_too_long": (ContextTooLong, 400, "the prompt is too long"),
    "model_not_found": (ModelNotFound, 404, "there is no such model"),
}

_YIELD_EVERY = 50
"""Words between two turns of the event loop where no pace is kept."""


_CACHED_FROM = 1_024
"""Tokens from which on a prefix is cached."""

_REMEMBERED_PREFIXES = 1_000
_written: OrderedDict[str, None] = OrderedDict()
"""Prefixes that were sent with an answer that has begun, by name and model."""


@dataclass(frozen=True)
class _Answer:
    """A whole answer, before it is streamed. `words` put together are its text."""

    words: tuple[str, ...]
    finish_reason: str
    tool_call: ToolCall | None = None


class SimulatedClient(LLMClient):
    """A provider without a vendor. `model` names what it stands in for (and is priced as)."""

    provider: ClassVar[str] = "simulated"
    resends_prefix: ClassVar[bool] = True

    def __init__(
        self,
        model: str = "gpt-4o-mini",
        *,
        seed: int = 0,
        tokens_per_second: float = 60.0,
        first_token_s: float | None = None,
        faults: Sequence[Fault | dict[str, Any]] = (),
        log: str | None = None,
    ) -> None:
        try:
            self._simulation = Simulation(
                seed=seed,
                tokens_per_second=tokens_per_second,
                first_token_s=first_token_s,
                faults=faults,  # type: ignore[arg-type]  # dictionaries are validated
                log=log,
            )
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in problem["loc"])
            raise RouterError(f"simulated provider, options: {place}: {problem['msg']}") from None
        self.model = model
        self._faults = FaultCount(self._simulation.faults)

    @classmethod
    def of(cls, simulation: Simulation, model: str = "gpt-4o-mini") -> "SimulatedClient":
        """Make a client with settings that were loaded before."""
        return cls(model, **simulation.options())

    async def count_tokens(self, req: ChatRequest) -> int:
        """Return the prompt's size in tokens, as it will be billed."""
        return tokens.count_request(req)

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Return a name for this prefix: the first request that has it writes it, others read it.

        In one process and for as long as it lives; the prefix is sent with each request.
        """
        return prefix_key(req, req.model or self.model)

    async def delete_cache(self, name: str) -> None:
        """Forget a prefix."""
        for known in [known for known in _written if known.startswith(f"{name}/")]:
            del _written[known]

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Answer a request word by word."""
        model = req.model or self.model
        fault = self._faults.choose(req, model)
        if fault is None or fault.kind != "unreachable":
            self._write_log(req, model)
        call = _Call(self._simulation, req, model, fault)
        async for chunk in call.chunks():
            yield chunk

    def _write_log(self, req: ChatRequest, model: str) -> None:
        """Append one line for a request received; many processes may write the same file."""
        if self._simulation.log is None:
            return
        labels = {key: req.metadata.get(key, "") for key in ("run", "agent", "attempt")}
        line = json.dumps({**labels, "model": model, "at": datetime.now(UTC).isoformat()})
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self._simulation.log, flags, 0o644)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)


class _Call:
    """One request being answered."""

    def __init__(
        self, simulation: Simulation, req: ChatRequest, model: str, fault: Fault | None
    ) -> None:
        self._req, self._model, self._fault = req, model, fault
        labels = [req.metadata.get(key, "") for key in ("run", "agent", "attempt")]
        self._random = random.Random(f"{simulation.seed}|{'|'.join(labels)}")
        self._id = f"sim-{self._random.getrandbits(48):012x}"
        slow = fault.factor if fault is not None and fault.kind == "slow" else 1.0
        rate = simulation.tokens_per_second
        self._per_token = slow / rate if rate else 0.0
        first = simulation.first_token_s
        self._first = (min(0.5, 12 * self._per_token) if first is None else first) * slow
        self._prompt_tokens = tokens.count_request(req)
        self._sent_tokens = 0
        self._sent_words = 0
        self._prefix = f"{req.cache_key}/{model}" if req.cache_key else ""
        self._lasts = (req.cache_lasts_s or 0) > SHORT_LIFE_S
        self._was_written = self._prefix in _written

    async def chunks(self) -> AsyncIterator[ChatChunk]:
        await self._before_first_word()
        self._write_prefix()
        answer = self._answer()
        turn = self._turning_point(answer)
        for word in answer.words:
            if self._sent_words == turn:
                await self._break()
            await self._wait(word)
            yield ChatChunk(delta_text=word, model=self._model, response_id=self._id)
        if self._sent_words == turn:
            await self._break()
        if answer.tool_call is not None:
            self._sent_tokens += tokens.count_tokens(answer.tool_call.raw_arguments) + 1
            yield ChatChunk(tool_call=answer.tool_call, model=self._model, response_id=self._id)
        yield ChatChunk(
            finish_reason=answer.finish_reason,
            usage=None if self._is("no_usage") else self._usage(),
            model=self._model,
            response_id=self._id,
        )

    def _is(self, kind: str) -> bool:
        return self._fault is not None and self._fault.kind == kind

    async def _before_first_word(self) -> None:
        await asyncio.sleep(0)
        fault = self._fault
        if fault is not None and fault.kind == "stall_first":
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind in _ERRORS and not fault.after_words:
            await asyncio.sleep(self._first)
            raise self._error(fault)
        if self._first:
            await asyncio.sleep(self._first)

    def _answer(self) -> _Answer:
        if self._is("empty"):
            return _Answer((), "stop")
        if self._is("wrong_json"):
            return self._bounded(structured.misfit(self._req.response_schema))
        call = toolcalls.choose(self._req)
        if call is not None:
            return _Answer((), "tool_calls", call)
        return self._bounded(self._text())

    def _text(self) -> str:
        asked = understand(self._req)
        if self._req.response_schema is None and not self._req.json_mode:
            return answering.answer(asked)
        if self._req.response_schema is not None:
            value = structured.fill(self._req.response_schema, asked)
        else:
            value = structured.fill_any(asked)
        text = json.dumps(value, ensure_ascii=False, indent=1)
        return text[len(asked.before) :] if text.startswith(asked.before) else text

    def _bounded(self, text: str) -> _Answer:
        """Cut an answer at its first stop sequence and at max_tokens."""
        stops = [at for stop in self._req.stop or () if (at := text.find(stop)) >= 0]
        text = text[: min(stops)] if stops else text
        most, spent = self._req.max_tokens, 0
        kept: list[str] = []
        for word in pieces(text):
            size = tokens.word_tokens(word)
            if most is not None and spent + size > most:
                return _Answer(tuple(kept), "length")
            spent += size
            kept.append(word)
        return _Answer(tuple(kept), "stop")

    def _turning_point(self, answer: _Answer) -> int | None:
        """Return after how many words the fault strikes, if it strikes within the answer."""
        fault = self._fault
        if fault is None or fault.kind not in {"cut", "stall", *_ERRORS}:
            return None
        size = len(answer.words)
        return size // 2 if fault.after_words is None else min(fault.after_words, size)

    async def _break(self) -> None:
        """Do what the fault does in mid-answer: fall silent for a while, or fail."""
        fault = self._fault
        if fault is None:
            return
        if fault.kind == "stall":
            await asyncio.sleep(fault.seconds)
        else:
            raise self._error(fault)

    async def _wait(self, word: str) -> None:
        """Keep the pace: a word takes as long as its tokens, more or less."""
        size = tokens.word_tokens(word)
        self._sent_tokens += size
        self._sent_words += 1
        if self._per_token:
            if self._sent_words > 1:
                await asyncio.sleep(size * self._per_token * self._random.uniform(0.6, 1.4))
        elif self._sent_words % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    def _usage(self, *, estimated: bool = False) -> Usage:
        shared = self._prefix_tokens() if self._prefix else 0
        written = 0 if self._was_written else shared
        return Usage(
            self._prompt_tokens,
            self._sent_tokens,
            cached_tokens=shared if self._was_written else 0,
            cache_write_tokens=written,
            cache_write_1h_tokens=written if self._lasts else 0,
            estimated=estimated,
        )

    def _prefix_tokens(self) -> int:
        """Return the tokens of all turns before the last; vendors cache no small ones."""
        before = self._req.messages[:-1]
        size = tokens.count_request(ChatRequest(messages=list(before))) if before else 0
        return size if size >= _CACHED_FROM else 0

    def _write_prefix(self) -> None:
        if self._prefix:
            _written[self._prefix] = None
        while len(_written) > _REMEMBERED_PREFIXES:
            _written.popitem(last=False)

    def _error(self, fault: Fault) -> ProviderError:
        """Return the fault's error, billed as the vendors bill it."""
        if fault.kind == "cut":
            return StreamInterrupted(
                f"simulated: the stream ended after {self._sent_words} words, without a finish",
                usage=self._usage(estimated=True),
                model=self._model,
            )
        kind, status, text = _ERRORS[fault.kind]
        begun = self._sent_words > 0
        billed = begun or fault.kind == "refuse"
        error = kind(
            f"simulated: {text}",
            usage=self._usage(estimated=begun and fault.kind != "refuse") if billed else Usage(),
            usage_final=not begun or fault.kind == "refuse",
            retry_after=fault.retry_after,
            model=self._model,
            status=status,
        )
        error.sent = fault.kind != "unreachable" or begun
        return error


def pieces(text: str) -> Iterator[str]:
    """Split a text into words, each with the white space before it; together they are the text."""
    end = 0
    for match in tokens.WORD.finditer(text):
        yield text[end : match.end()]
        end = match.end()
    if end < len(text):
        yield text[end:]

"""A caller's own client as an attempt needs it: told the model, its errors translated.

Adapters raise `providers.exceptions`; the client of somebody's program raises anything. What it
raises without having answered becomes a failure that may pass and that cost nothing: who knows
better raises a ProviderError, with the usage. A broken connection, a timeout, or an answer that
could not be read (a missing key, a wrong type, no JSON) may have been billed, and counts so.
"""

import builtins
import dataclasses
from collections.abc import AsyncIterator
from typing import Protocol

from activities.prompts import likely_tokens
from contracts.messages import ChatChunk, ChatRequest, Usage
from contracts.plans import Candidate
from providers.exceptions import ExecutionPlatformError, ServerFailed, StreamInterrupted
from providers.prompt_texts import prompt_texts
from providers.redaction import redact
from providers.spi import LLMClient
from providers.timeouts import Timeouts

UNNAMED = "unnamed"
"""Option of a candidate whose agent names no model: the client is not told any."""

MAYBE_BILLED = (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What comes of a broken connection, or of reading an answer that is not as expected."""

_NO_CLOCK = 7 * 86_400.0
"""Seconds: the attempt's own clocks run around this client."""


class Limiter(Protocol):
    """The limits of an account, in this process."""

    def admit(self, key: str, tokens: int) -> float:
        """Return the seconds until the call of this name may be made; 0.0 for now, used up."""
        ...

    def began(self) -> None:
        """Note that an admitted call is made."""
        ...

    def ended(self, booked: int, used: int | None) -> None:
        """Note that it has ended, and the tokens that it used beside those it was admitted with.

        None: not known.
        """
        ...


class TranslatedClient(LLMClient):
    """Serves one candidate from a caller's client."""

    def __init__(self, client: LLMClient, candidate: Candidate, limiter: Limiter | None) -> None:
        self.provider = candidate.provider  # type: ignore[misc]  # a caller's client names its own
        self._client, self._candidate, self._limiter = client, candidate, limiter

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        candidate = self._candidate
        unnamed = candidate.options.get(UNNAMED)
        named = req if unnamed else dataclasses.replace(req, model=candidate.model)
        inner = self._client.open(named, Timeouts(_NO_CLOCK, _NO_CLOCK, _NO_CLOCK))
        if self._limiter is not None:
            self._limiter.began()
        try:
            async for chunk in inner:
                yield chunk
        except (ExecutionPlatformError, builtins.TimeoutError):
            raise
        except Exception as error:
            answered = bool(inner.text or inner.tool_calls or inner.usage)
            raise self._translated(error, req, answered) from error
        finally:
            await inner.aclose()
            if self._limiter is not None:
                self._limiter.ended(likely_tokens(req), _known_tokens(inner.usage))

    def _translated(self, error: Exception, req: ChatRequest, answered: bool) -> Exception:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        text = redact(said, private=prompt_texts(req))
        provider, model = self._candidate.provider, self._candidate.model
        if answered or isinstance(error, MAYBE_BILLED):
            return StreamInterrupted(text, provider=provider, model=model)
        return ServerFailed(
            text, usage=Usage(0, 0), usage_final=True, provider=provider, model=model
        )


def _known_tokens(usage: Usage | None) -> int | None:
    return None if usage is None or usage.estimated else usage.total_tokens

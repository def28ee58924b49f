"""A caller's own client as an attempt needs it: told the model, its errors translated.

Adapters raise `providers.exceptions`; the client of somebody's program raises anything. What it
raises without having answered becomes a failure that may pass and that cost nothing: who knows
better raises a ProviderError, with the usage. A broken connection or a timeout may have been
billed, and counts so.
"""

import builtins
import dataclasses
from collections.abc import AsyncIterator, Callable

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

_NO_CLOCK = 7 * 86_400.0
"""Seconds: the attempt's own clocks run around this client."""


class TranslatedClient(LLMClient):
    """Serves one candidate from a caller's client.

    `used` is told the tokens that a call was taken for and those that it used.
    """

    def __init__(
        self, client: LLMClient, candidate: Candidate, used: Callable[[int, int], None]
    ) -> None:
        self.provider = candidate.provider  # type: ignore[misc]  # a caller's client names its own
        self._client, self._candidate, self._used = client, candidate, used

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        candidate = self._candidate
        unnamed = candidate.options.get(UNNAMED)
        named = req if unnamed else dataclasses.replace(req, model=candidate.model)
        inner = self._client.open(named, Timeouts(_NO_CLOCK, _NO_CLOCK, _NO_CLOCK))
        try:
            async for chunk in inner:
                yield chunk
        except (ExecutionPlatformError, builtins.TimeoutError):
            raise
        except Exception as error:
            raise self._translated(error, req, bool(inner.text)) from error
        finally:
            await inner.aclose()
            if inner.usage is not None and not inner.usage.estimated:
                self._used(likely_tokens(req), inner.usage.total_tokens)

    def _translated(self, error: Exception, req: ChatRequest, answered: bool) -> Exception:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        text = redact(said, private=prompt_texts(req))
        provider, model = self._candidate.provider, self._candidate.model
        if answered or isinstance(error, OSError):
            return StreamInterrupted(text, provider=provider, model=model)
        return ServerFailed(
            text, usage=Usage(0, 0), usage_final=True, provider=provider, model=model
        )

"""The adapters that the conformance suite and the recorded streams are run with.

A new adapter is one entry here: how its client is made for an address, and its pure parser.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from providers.http_errors import Origin
from providers.reading import EventParser
from providers.spi import LLMClient
from tests.wire.streams import DIALECTS, Dialect

KEY = "sk-conformance-0123456789abcdef"
"""The key that every client is given; it must never show in an error."""


@dataclass(frozen=True)
class Adapter:
    """`api` names the dialect and the recorded streams; `path` follows the server's address."""

    name: str
    api: str
    module: str
    make: Callable[[Any, str], LLMClient]
    parse: Callable[[Origin], EventParser]
    path: str = ""

    def client(self, url: str) -> LLMClient:
        """A client for a server at `url`."""
        return self.make(importlib.import_module(self.module), url + self.path)

    @property
    def dialect(self) -> Dialect:
        """The vendor's words."""
        return DIALECTS[self.api]


def _parser(module: str, name: str) -> Callable[[Origin], EventParser]:
    def make(origin: Origin) -> EventParser:
        parser: EventParser = getattr(importlib.import_module(module), name)(origin)
        return parser

    return make


def _openai(api: str) -> Callable[[Any, str], LLMClient]:
    return lambda module, url: module.OpenAIClient("scripted-1", KEY, url, api=api)


_ALL = (
    Adapter(
        name="openai chat",
        api="openai_chat",
        module="providers.openai_adapter",
        make=_openai("chat"),
        parse=_parser("providers.openai_chat", "ChatParser"),
        path="/v1",
    ),
    Adapter(
        name="openai responses",
        api="openai_responses",
        module="providers.openai_adapter",
        make=_openai("responses"),
        parse=_parser("providers.openai_responses", "ResponsesParser"),
        path="/v1",
    ),
    Adapter(
        name="anthropic",
        api="anthropic",
        module="providers.anthropic_adapter",
        make=lambda module, url: module.AnthropicClient("scripted-1", KEY, url),
        parse=_parser("providers.anthropic_messages", "MessagesParser"),
    ),
    Adapter(
        name="gemini",
        api="gemini",
        module="providers.gemini_adapter",
        make=lambda module, url: module.GeminiClient("scripted-1", KEY, url),
        parse=_parser("providers.gemini_content", "ContentParser"),
    ),
)

ADAPTERS = tuple(a for a in _ALL if importlib.util.find_spec(a.module) is not None)
"""Those whose module is there."""

"""What tests of the policy ask with: an environment with keys, and a plain request."""

from typing import Any

from providers.spi import ChatRequest, Message

KEYS = {"EP_OPENAI_API_KEY": "k1", "EP_ANTHROPIC_API_KEY": "k2", "EP_GEMINI_API_KEY": "k3"}


def request(**fields: Any) -> ChatRequest:
    """Return a request of one short message."""
    return ChatRequest([Message("user", "Hello there")], **fields)

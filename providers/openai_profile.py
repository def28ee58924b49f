"""What OpenAI's models and the servers that speak OpenAI's API accept.

Strategy: two small tables. One by address (OpenAI's own endpoint, Azure's, everybody else's), one
by model family, since reasoning models answer 400 to sampling parameters and stop sequences.
Unknown models are taken for plain ones: a vendor's error is better than a silently changed
request.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Api = Literal["chat", "responses"]

OWN_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """What differs by address. `extras`: knows OpenAI's newer fields (cache keys, obfuscation)."""

    url: str
    max_tokens_field: str
    extras: bool
    api: Api


def endpoint(url: str | None) -> Endpoint:
    """Return what is known of an address; None is OpenAI's own."""
    url = url or OWN_URL
    host = (urlsplit(url).hostname or "").lower()
    if host == "api.openai.com" or host.endswith(".api.openai.com"):
        return Endpoint(url, "max_completion_tokens", True, "responses")
    if host.endswith((".openai.azure.com", ".services.ai.azure.com")):
        return Endpoint(url, "max_completion_tokens", False, "chat")
    return Endpoint(url, "max_tokens", False, "chat")


@dataclass(frozen=True)
class Family:
    """What differs by model.

    `reasons`: "never", "always", "default" (unless effort is none) or "asked" (if effort is set).
    `stops`: the model takes stop sequences. `system_role`: what OpenAI calls system text there.
    """

    reasons: Literal["never", "always", "default", "asked"] = "never"
    system_role: Literal["system", "developer", "user"] = "system"

    def samples(self, effort: str | None) -> bool:
        """Tell whether temperature and top_p are accepted at this effort."""
        if self.reasons == "default":
            return effort == "none"
        if self.reasons == "asked":
            return effort in (None, "none")
        return self.reasons == "never"

    @property
    def stops(self) -> bool:
        """Stop sequences are accepted: by models that never reason."""
        return self.reasons == "never"


_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"o1-(?:mini|preview)", Family("always", "user")),
    (r"o\d", Family("always", "developer")),
    (r"gpt-5-chat", Family()),
    (r"gpt-5(?:\.\d+)?-(?:.*-)?(?:chat|codex|pro)", Family("always", "developer")),
    (r"gpt-5\.[1-4](?!\d)", Family("asked", "developer")),
    (r"gpt-5\.\d", Family("default", "developer")),
    (r"gpt-5", Family("always", "developer")),
    (r"gpt-[6-9]", Family("default", "developer")),
    (r"codex-|computer-use", Family("always", "developer")),
)


def family(model: str) -> Family:
    """Return the family of a model name, with or without a vendor's prefix or `ft:`."""
    name = model.removeprefix("ft:").rsplit("/", 1)[-1].lower()
    for pattern, found in _FAMILIES:
        if re.match(pattern, name):
            return found
    return Family()


def only_chats(model: str) -> bool:
    """Tell whether a model is served by Chat Completions alone: those that hear."""
    name = model.removeprefix("ft:").rsplit("/", 1)[-1].lower()
    return re.match(r"gpt-(?:4o-(?:mini-)?)?audio", name) is not None

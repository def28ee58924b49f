"""Where keys and addresses come from: an argument, else the environment (`EP_*` first)."""

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from providers.exceptions import AuthenticationFailed


class MalformedKey(AuthenticationFailed, ValueError):
    """The key cannot be one; told before anything is sent."""

    @property
    def kind(self) -> str:
        """The failure's kind: that of its base."""
        return AuthenticationFailed.__name__


def find_key(given: str | None, names: Sequence[str], provider: str) -> str | None:
    """Return the key from the argument or the first variable that is set, None if there is none.

    An empty variable counts as not set; an empty argument, or white space in either, raises
    `MalformedKey` (a `ValueError`), which names the place and never the value: on the wire it
    would only show as a 401, or leak into an error of the HTTP library.
    """
    if given is not None:
        return _checked(given, "api_key", provider)
    for name in names:
        if os.environ.get(name):
            return _checked(os.environ[name], name, provider)
    return None


def _checked(key: str, where: str, provider: str) -> str:
    problem = ""
    if not isinstance(key, str):
        problem = f"must be a text, not {type(key).__name__}"
    elif not key:
        problem = "is empty: give a key, or None"
    elif any(c.isspace() for c in key):
        problem = "holds white space, which no key has"
    elif not key.isascii() or not key.isprintable():
        problem = "holds characters that no key has"
    if problem:
        raise MalformedKey(f"{provider}: {where} {problem}", provider=provider, sent=False)
    return key


def missing_key(names: Sequence[str], provider: str) -> AuthenticationFailed:
    """Return the error for a provider that needs a key and has none."""
    return AuthenticationFailed(
        f"{provider} needs a key: set {' or '.join(names)}", provider=provider, sent=False
    )


def find_url(given: str | None, names: Sequence[str]) -> str | None:
    """Return the address from the argument or the first variable that is set and not empty.

    Raises `ValueError` when it is no http(s) URL.
    """
    for where, url in [("base_url", given), *((name, os.environ.get(name)) for name in names)]:
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{where} must be a URL such as https://host/v1, not {_told(url)}")
            return url
    return None


def _told(url: str) -> str:
    """The value, unless a password or a key may stand in it."""
    return "what it is" if set(url) & set("@?") or len(url) > 80 else repr(url)


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine."""
    host = (urlsplit(url).hostname or "").lower()
    return host == "localhost" or host == "::1" or host.startswith("127.")

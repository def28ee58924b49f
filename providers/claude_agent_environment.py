"""The environment of the Claude Code program, written from nothing.

Promise: the program sees the one credential that it works with, the way to the network, and
where its own files go; no other variable of this process, so no other provider's key and no
secret. It asks once, tells nobody, and reads no file that a prompt names.

Strategy: an allow-list, not a block-list. With a key, all of the program's files lie in a folder
made for one call, and `--bare` keeps it from reading any other login. Without a key, it uses a
token (CLAUDE_CODE_OAUTH_TOKEN) or the login of the user at its usual place.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from providers.keys import find_key, find_url, is_loopback

KEYS = ("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY")
TOKENS = ("CLAUDE_CODE_OAUTH_TOKEN",)
URLS = ("EP_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL")

_SYSTEM = (
    *("PATH", "LANG", "LC_ALL", "TZ"),
    *("SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR"),
)
"""Needed to start a program at all; the second line by Windows."""

_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
)
"""The way out; not given to it where the server is on this machine."""

_LOGIN = ("HOME", "USERPROFILE", "USER", "LOGNAME", "CLAUDE_CONFIG_DIR")
"""Where the user's own login is found."""

_SILENCE_MS = "600000"

_BEHAVIOUR = {
    # One request: no second try, neither of its kind nor without streaming, nor by another model.
    "CLAUDE_CODE_MAX_RETRIES": "0",
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_NO_MODEL_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_MODEL_ACCESS_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP": "1",
    "DISABLE_COMPACT": "1",
    "DISABLE_AUTO_COMPACT": "1",
    # Nothing in the prompt but what the caller wrote.
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
    # No telemetry, no updates, no look-ups.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    # The clocks are the caller's; these only end a program that nobody waits for any more.
    "API_TIMEOUT_MS": _SILENCE_MS,
    "CLAUDE_ENABLE_STREAM_WATCHDOG": "1",
    "CLAUDE_STREAM_IDLE_TIMEOUT_MS": _SILENCE_MS,
    "CLAUDE_STREAM_FIRST_BYTE_TIMEOUT_MS": _SILENCE_MS,
    "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
}


@dataclass(frozen=True)
class Account:
    """Whom the program works for: by a key, by a token, or by the user's own login (neither)."""

    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    url: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return tuple(secret for secret in (self.key, self.token) if secret)

    @property
    def arguments(self) -> tuple[str, ...]:
        """`--bare` allows no login but a key."""
        return ("--bare",) if self.key else ()


def find_account(api_key: str | None, base_url: str | None) -> Account:
    """Return the account of the arguments or the environment.

    A server on this machine needs no key. Raises `MalformedKey`, `ValueError` for an address.
    """
    url = find_url(base_url, URLS)
    key = find_key(api_key, KEYS, "claude_agent")
    if key is None and url and is_loopback(url):
        key = "none"
    token = find_key(None, TOKENS, "claude_agent") if key is None else None
    return Account(key, token, url)


def seems_signed_in(env: Mapping[str, str]) -> bool:
    """Tell whether the program could work here: by a key, a token, or a login of this user.

    A guess, from what lies about: only the program itself knows whether its login is good.
    """
    if any(env.get(name) for name in (*KEYS, *TOKENS)):
        return True
    if any(is_loopback(env[name]) for name in URLS if env.get(name)):
        return True
    home = env.get("HOME") or env.get("USERPROFILE")
    folder = env.get("CLAUDE_CONFIG_DIR") or (f"{home}/.claude" if home else "")
    return bool(folder) and Path(folder).is_dir()


def program_environment(
    account: Account, folder: Path, inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return all variables of the program, its own files being in `folder`."""
    parent = os.environ if inherited is None else inherited
    found = {name: parent[name] for name in _SYSTEM if name in parent}
    if not (account.url and is_loopback(account.url)):
        found |= {name: parent[name] for name in _NETWORK if name in parent}
    if account.key or account.token:
        home = str(folder)
        found |= {"HOME": home, "USERPROFILE": home, "CLAUDE_CONFIG_DIR": str(folder / "config")}
    else:
        found |= {name: parent[name] for name in _LOGIN if name in parent}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    given = {
        "ANTHROPIC_API_KEY": account.key,
        "CLAUDE_CODE_OAUTH_TOKEN": account.token,
        "ANTHROPIC_BASE_URL": account.url,
    }
    return {
        **found,
        **temporary,
        **_BEHAVIOUR,
        **{name: value for name, value in given.items() if value},
    }

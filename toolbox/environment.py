"""What of the worker's environment a tool's process may see: the usual, and the secrets it names.

A worker holds the keys of all providers. A tool is somebody's code, so it gets none of them but
those that its declaration names.
"""

import re
from collections.abc import Mapping, Sequence

from toolbox.exceptions import ToolUnavailable

_USUAL = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TERM|VIRTUAL_ENV|PYTHONPATH"
    r"|PYTHONUTF8|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    r"|XDG_[A-Z_]+|(HTTPS?|NO|ALL)_PROXY)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def usual(env: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that has no secrets."""
    return {name: value for name, value in env.items() if _USUAL.fullmatch(name)}


def secrets(names: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """Return the named secrets. Raises ToolUnavailable with the names that are not set."""
    missing = [name for name in names if not env.get(name)]
    if missing:
        listed = ", ".join(missing)
        raise ToolUnavailable(f"the worker's environment has no {listed}: set it there")
    return {name: env[name] for name in names}


def filled(text: str, known: Mapping[str, str]) -> str:
    """Return a text with "{NAME}" replaced where NAME is one of the tool's secrets."""
    return _NAMED.sub(lambda found: known.get(found[1], found[0]), text)


class Redactor:
    """Takes secrets out of what a tool says: results and errors quote requests at times."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = sorted({value for value in values if len(value) >= 6}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text with each secret replaced."""
        for value in self._values:
            text = text.replace(value, "[secret]")
        return text

"""The one setting that whoever connects to a server has to know: which variables hold keys.

Apart from all others, which it takes pydantic-settings to read: a program that imports Callboard
does not wait for that until it runs something.
"""

import re
from collections.abc import Mapping
from typing import Any

from config.problems import ConfigError, Problem

PREFIX = "CALLBOARD_"
"""What the names of our variables begin with."""

KEYS_VARIABLE = PREFIX + "ENCRYPTION_KEYS"


def split_names(value: Any) -> Any:
    """Return the names of variables that a text lists; what is no text as it is.

    Raises ValueError, which never repeats the text: it may be a key by mistake.
    """
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(
                "must be names of environment variables, separated by commas; the keys"
                " themselves stand in those variables"
            )
    return tuple(names)


def encryption_key_names(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that hold encryption keys, the sealing one first. Raises ConfigError.

    It can be told whatever is wrong with the other settings.
    """
    try:
        names: tuple[str, ...] = split_names(env.get(KEYS_VARIABLE, ""))
    except ValueError as error:
        raise ConfigError([Problem(KEYS_VARIABLE, 0, "", str(error))]) from None
    return names

"""What seals with the keys that the settings name: for stores and for the server's values alike."""

import os
from collections.abc import Mapping, Sequence

from config.problems import ConfigError, Problem
from config.sealing import KEYS_VARIABLE, encryption_key_names
from stores.sealing import PLAIN, AesGcm, Sealer


def configured_sealer(names: Sequence[str], env: Mapping[str, str] = os.environ) -> Sealer:
    """Return what seals with the keys that the variables of these names hold; Plain for none.

    Raises ConfigError, which names variables and never shows a key.
    """
    if not names:
        return PLAIN
    absent = [name for name in names if not env.get(name)]
    if absent:
        problem = f"names {', '.join(absent)}, which is not set"
        raise ConfigError([Problem(KEYS_VARIABLE, 0, "", problem)])
    try:
        return AesGcm((name, env[name]) for name in names)
    except ValueError as error:
        raise ConfigError([Problem(KEYS_VARIABLE, 0, "", str(error))]) from None


def environment_sealer(env: Mapping[str, str] = os.environ) -> Sealer:
    """Return what seals as CALLBOARD_ENCRYPTION_KEYS says. Raises ConfigError."""
    return configured_sealer(encryption_key_names(env), env)

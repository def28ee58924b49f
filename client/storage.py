"""The stores of this machine, opened as the settings say: composition for worker and commands."""

import os
from dataclasses import dataclass

from config.problems import ConfigError, Problem
from config.settings import Settings
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.sealing import PLAIN, AesGcm, Sealer
from stores.spools import FileSpools

KEYS_VARIABLE = "CALLBOARD_ENCRYPTION_KEYS"


@dataclass(frozen=True)
class Storage:
    """Where runs keep what they make."""

    data: DataDir
    store: ArtifactStore
    spools: FileSpools


def open_storage(settings: Settings) -> Storage:
    """Open the stores. Raises ConfigError for a bad key, StoreError for a bad address."""
    data = DataDir(settings.home)
    sealer = _sealer(settings.encryption_keys)
    store = ArtifactStore.open(settings.artifacts_url or data.artifacts_url, sealer)
    return Storage(data, store, FileSpools(data.spools, sealer))


def _sealer(names: tuple[str, ...]) -> Sealer:
    """Return what encrypts with the keys that the variables of these names hold."""
    if not names:
        return PLAIN
    absent = [name for name in names if not os.environ.get(name)]
    if absent:
        problem = f"names {', '.join(absent)}, which is not set"
        raise ConfigError([Problem(KEYS_VARIABLE, 0, "", problem)])
    try:
        return AesGcm((name, os.environ[name]) for name in names)
    except ValueError as error:
        raise ConfigError([Problem(KEYS_VARIABLE, 0, "", str(error))]) from None

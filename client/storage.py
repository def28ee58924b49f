"""The stores of this machine, opened as the settings say: composition for worker and commands."""

from dataclasses import dataclass

from client.encryption import configured_sealer
from config.settings import Settings
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from stores.sealing import Sealer
from stores.spools import FileSpools


@dataclass(frozen=True)
class Storage:
    """Where runs keep what they make."""

    data: DataDir
    store: ArtifactStore
    spools: FileSpools
    sealer: Sealer


def open_storage(settings: Settings) -> Storage:
    """Open the stores. Raises ConfigError for a bad key, StoreError for a bad address."""
    data = DataDir(settings.home)
    sealer = configured_sealer(settings.encryption_keys)
    store = ArtifactStore.open(settings.artifacts_url or data.artifacts_url, sealer)
    return Storage(data, store, FileSpools(data.spools, sealer), sealer)

"""The stores of this machine, opened as the settings say: composition for worker and commands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from client.sealers import configured_sealer
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreUnavailable
from stores.locations import HOME_VARIABLE, DataDir
from stores.sealing import Sealer
from stores.spooling import Spools
from stores.spools import FileSpools

if TYPE_CHECKING:
    from config.settings import Settings


@dataclass(frozen=True)
class Storage:
    """Where runs keep what they make."""

    data: DataDir
    store: ArtifactStore
    spools: Spools
    sealer: Sealer


def open_storage(settings: "Settings") -> Storage:
    """Open the stores.

    Raises ConfigError for a bad key, StoreError for a bad address, StoreUnavailable for a home
    that cannot be used.
    """
    data = DataDir(settings.home)
    sealer = configured_sealer(settings.encryption_keys)
    try:
        store = ArtifactStore.open(settings.artifacts_url or data.artifacts_url, sealer)
        spools = _spools(settings.spool_url, data, sealer)
    except OSError as error:
        raise StoreUnavailable(
            f"{error.filename or data.root}: {error.strerror or error}. Data are kept in "
            f"{data.root}: make it writable, or name another folder in {HOME_VARIABLE}"
        ) from None
    return Storage(data, store, spools, sealer)


def _spools(url: str | None, data: DataDir, sealer: Sealer) -> Spools:
    """Open the spools: files, or Redis, whose client is imported only where it is asked for."""
    if url is None:
        return FileSpools(data.spools, sealer)
    if url.startswith("file:"):
        return FileSpools(unquote(urlsplit(url).path), sealer)
    from stores.redis_spools import RedisSpools

    return RedisSpools(url, sealer)

"""What `doctor` asks of Redis: the server of the spools, and the one of the limits."""

from collections.abc import AsyncIterator

from client.cli.findings import Finding
from client.cli.session import Session
from providers.exceptions import ExecutionPlatformError
from stores.exceptions import StoreError
from stores.redis_server import SETTING as SPOOLS
from stores.spools import FileSpools

LIMITS = "CALLBOARD_REDIS_URL"
SPOOL_CURE = f"see {SPOOLS} in .env.example, and docs/storage.md"
LIMITS_CURE = f"start it, or correct or unset {LIMITS}: until it answers, workers send nothing"


async def redis_findings(session: Session) -> AsyncIterator[Finding]:
    """Ask each server that the settings name; nothing where they name none."""
    spools = session.storage.spools
    if isinstance(spools, FileSpools):
        if session.settings.spool_url is not None:
            yield _folder(spools)
    else:
        yield await _spools(session)
    if session.settings.redis_url is not None:
        yield await _limits(session.settings.redis_url)


def _folder(spools: FileSpools) -> Finding:
    try:
        spools.check()
    except StoreError as error:
        return Finding("fault", "spools", str(error), SPOOL_CURE)
    return Finding("ok", "spools", f"{spools.place}: writable")


async def _spools(session: Session) -> Finding:
    from stores.redis_spools import RedisSpools

    spools = session.storage.spools
    assert isinstance(spools, RedisSpools)
    try:
        version = await spools.probe()
    except StoreError as error:
        return Finding("fault", "spools", str(error), SPOOL_CURE)
    return Finding("ok", "spools", f"{spools.place}: written and read back, version {version}")


async def _limits(url: str) -> Finding:
    from providers.redis_limits import RedisServer

    try:
        server = RedisServer(url)
        await server.ping()
    except ExecutionPlatformError as error:
        return Finding("fault", "limits", str(error), LIMITS_CURE)
    return Finding("ok", "limits", f"Redis at {server.address} answers")

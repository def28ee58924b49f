"""Workers name their namespace in the store: a lasting name stays, an engine's goes along."""

import asyncio
from pathlib import Path

import pytest
from temporalio.client import Client

from client.connection import connect
from client.tenants import namespace_id, registered, tenants
from stores.artifacts import ArtifactStore
from tests.support.server import LocalServer, local_server

pytestmark = pytest.mark.integration


async def seen(store: ArtifactStore) -> list[str]:
    return [one.tenant.id for one in await tenants(store)]


async def appears(store: ArtifactStore, client: Client) -> None:
    own = await namespace_id(client)
    async with asyncio.timeout(30):
        while own not in await seen(store):
            await asyncio.sleep(0.01)


async def test_a_lasting_name_stays_and_another_goes_with_its_worker(
    server: LocalServer, tmp_path: Path
) -> None:
    client = await connect(server.address)
    store = ArtifactStore.open(str(tmp_path), cache_bytes=0)
    async with registered(client, store, lasting=False):
        await appears(store, client)
        assert [one.counts for one in await tenants(store)] == [True]
    assert await seen(store) == []
    async with registered(client, store):
        await appears(store, client)
    (one,) = await tenants(store)
    assert one.counts
    assert (one.tenant.namespace, one.tenant.address) == ("default", server.address)
    await asyncio.sleep(0.05)


async def test_two_servers_have_two_names(
    server: LocalServer, server_binary: Path, tmp_path: Path
) -> None:
    with local_server(server_binary, tmp_path) as other:
        ids = {await namespace_id(await connect(s.address)) for s in (server, other)}
        await asyncio.sleep(0.05)
    assert len(ids) == 2


async def test_a_store_that_is_away_stops_no_worker(
    server: LocalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await connect(server.address)
    store = ArtifactStore.open(str(tmp_path / "store"))
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("no folder")
    async with registered(client, store, lasting=False), asyncio.timeout(30):
        while "not named in the store yet" not in caplog.text:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)

"""Which Temporal namespaces have runs whose artifacts lie in a store.

A collector knows the runs of the server that it asks, and of no other. So every worker leaves the
name of its namespace in its store, `servers/<namespace id>`, and renews it while it works; where
others' names stand, nothing is collected. The name of a server that lasts stays until a person
says that the server is gone. One that ends with its process (an engine's own) takes its name
along; after a crash the name counts for nothing once it is a day old.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from contracts.base import Frozen
from stores.artifacts import ArtifactStore
from stores.collecting import GRACE
from stores.exceptions import StoreError

log = logging.getLogger(__name__)

PREFIX = "servers/"
RENEW_S = 3600.0
RETRY_S = 30.0


class Tenant(Frozen):
    """A namespace of a Temporal server; `lasting` unless it ends with the worker's process."""

    id: str
    namespace: str
    address: str
    lasting: bool = True


@dataclass(frozen=True)
class Seen:
    """A tenant as its name in the store tells it, and when a worker last renewed that."""

    tenant: Tenant
    at: datetime

    @property
    def counts(self) -> bool:
        """Whether it may have runs that go on."""
        return self.tenant.lasting or datetime.now(UTC) - self.at < GRACE


async def namespace_id(client: Client) -> str:
    """Return what no other namespace of any server has. Raises RPCError."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    answer = await client.workflow_service.describe_namespace(request)
    return answer.namespace_info.id


@contextlib.asynccontextmanager
async def registered(
    client: Client, store: ArtifactStore, *, lasting: bool = True
) -> AsyncIterator[None]:
    """Keep the client's namespace named in the store while the context lasts.

    Neither waits for the store nor fails with it: it is asked again in the background.
    """
    renewing = asyncio.create_task(_renew(client, store, lasting))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        if not lasting:
            await _leave(client, store)


async def tenants(store: ArtifactStore) -> list[Seen]:
    """Return all namespaces that are named in the store. Raises the store's errors."""
    found = []
    for name in await store.names(PREFIX):
        ref, at = await store.lookup(name), await store.noted_at(name)
        if ref is not None and at is not None:
            found.append(Seen(await store.get_model(ref, Tenant), at))
    return found


async def _renew(client: Client, store: ArtifactStore, lasting: bool) -> None:
    told = False
    while True:
        try:
            own = Tenant(
                id=await namespace_id(client),
                namespace=client.namespace,
                address=client.service_client.config.target_host,
                lasting=lasting,
            )
            await store.note(PREFIX + own.id, await store.put_json(own))
        except (StoreError, RPCError) as error:
            if not told:
                log.warning("this namespace is not named in the store yet: %s", error)
            told = True
            await asyncio.sleep(RETRY_S)
        else:
            await asyncio.sleep(RENEW_S)


async def _leave(client: Client, store: ArtifactStore) -> None:
    with contextlib.suppress(StoreError, RPCError, TimeoutError):
        async with asyncio.timeout(2):
            await store.forget(PREFIX + await namespace_id(client))

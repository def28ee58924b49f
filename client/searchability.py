"""Search attributes: registered where that is allowed, checked before a run relies on them.

A run that sets an attribute which its namespace does not know would fail its workflow task for
ever, so runs are only started with attributes that were seen to exist.
"""

import logging

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from contracts import search

log = logging.getLogger(__name__)

_VALUE_TYPES = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Double": IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


async def has_search_attributes(client: Client) -> bool:
    """Return whether the namespace knows all our attributes. False where it cannot be asked."""
    try:
        return not await _missing(client)
    except RPCError:
        return False


async def ensure_search_attributes(client: Client) -> bool:
    """Register what is missing. Returns False, and says why, where that is not allowed."""
    try:
        missing = await _missing(client)
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={name: _VALUE_TYPES[search.TYPES[name]] for name in missing},
                )
            )
    except RPCError as error:
        log.warning("runs will not be searchable: %s", error.message)
        return False
    return True


async def _missing(client: Client) -> list[str]:
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [name for name in search.TYPES if name not in known.custom_attributes]

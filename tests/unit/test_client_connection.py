"""A server that cannot be had is told in words that its user can do something with."""

import socket
from collections.abc import Iterator

import pytest

from client.connection import ServerUnreachable, connect
from client.devserver import free_port

pytestmark = pytest.mark.unit


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_where_nobody_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServerUnreachable) as error:
        await connect(address)
    assert f"at {address} (nobody listens there)" in str(error.value)
    assert "starter.py dev" in str(error.value)


async def test_where_no_address_is() -> None:
    with pytest.raises(ServerUnreachable, match="that is no address"):
        await connect("not an address")


async def test_where_nobody_answers(silent: int) -> None:
    with pytest.raises(ServerUnreachable, match="no answer in time"):
        await connect(f"127.0.0.1:{silent}", timeout=0.3)

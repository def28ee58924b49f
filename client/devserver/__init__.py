"""The embedded Temporal server: found or built, started, and stopped with nothing left.

    binary = find_server(print)
    async with DevServer(binary, Path("callboard.db"), log_file=Path("server.log")) as server:
        client = await Client.connect(server.address)

A process that connects a client ends with `await asyncio.sleep(0.05)` or
`os._exit`: the SDK may crash an interpreter that exits at once.
"""

from client.devserver.binary import Origin, Report, ServerBinary, find_server
from client.devserver.errors import (
    BinaryNotFoundError,
    BuildError,
    DatabaseInUseError,
    DevServerError,
    ServerStartError,
)
from client.devserver.ports import free_port
from client.devserver.server import DYNAMIC_CONFIG, DevServer

__all__ = [
    "DYNAMIC_CONFIG",
    "BinaryNotFoundError",
    "BuildError",
    "DatabaseInUseError",
    "DevServer",
    "DevServerError",
    "Origin",
    "Report",
    "ServerBinary",
    "ServerStartError",
    "find_server",
    "free_port",
]

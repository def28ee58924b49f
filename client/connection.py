"""Connecting to Temporal.

Address, namespace, TLS and API key come from `temporalio.envconfig`, so a profile of the
`temporal` command line or a Temporal Cloud key works as it is; CALLBOARD_TEMPORAL_ADDRESS goes
first. All values travel as pydantic's JSON, sealed where CALLBOARD_ENCRYPTION_KEYS names keys: the
environment is asked here, so that nobody who connects can forget to.
"""

import asyncio
import contextlib
import logging
import os
from functools import lru_cache

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig
from temporalio.service import GrpcCompression, RPCError

from client.absence import NoServer, ServerUnreachable
from client.addresses import configured_address
from client.encryption import data_converter
from client.sealers import environment_sealer
from providers.keys import is_loopback

__all__ = ["NoServer", "ServerUnreachable", "configured_address", "connect"]

CONNECT_TIMEOUT_S = 5.0
DEFAULT_ADDRESS = "localhost:7233"


async def connect(address: str | None = None, *, timeout: float = CONNECT_TIMEOUT_S) -> Client:
    """Return a connected client.

    Raises ServerUnreachable, which names the address and what to do, after `timeout` seconds;
    ConfigError for keys that cannot be used.
    """
    hush_core()
    config = ClientConfig.load_client_connect_config()
    target = address or configured_address() or DEFAULT_ADDRESS
    config["target_host"] = target
    namespace = os.environ.get("CALLBOARD_TEMPORAL_NAMESPACE")
    if namespace:
        config["namespace"] = namespace
    converter = data_converter(environment_sealer())
    # Within a machine, packing costs a millisecond a step and saves nothing.
    near = is_loopback(f"http://{target}")
    packing = GrpcCompression.NONE if near else GrpcCompression.GZIP
    try:
        async with asyncio.timeout(timeout):
            return await Client.connect(
                **config, data_converter=converter, grpc_compression=packing
            )
    except (RuntimeError, RPCError, TimeoutError, OSError, ValueError) as error:
        raise ServerUnreachable(
            f"no Temporal server answers at {target} ({_brief(error)}). Start one with "
            "`python starter.py dev`, or name another in TEMPORAL_ADDRESS."
        ) from None


@lru_cache(maxsize=1)
def hush_core() -> None:
    """Keep the log of the SDK's core off stdout in a process that keeps no log.

    The core writes there whatever Python's logging says, and there results go: a server that was
    away for a moment must not be found in what `run --json` gave. What is wrong is told by errors.
    A runtime that the program has set up is left as it is.
    """
    if logging.getLogger().handlers:
        return
    quiet = Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="off")))
    with contextlib.suppress(RuntimeError):
        Runtime.set_default(quiet)


_REASONS = (
    ("Connection refused", "nobody listens there"),
    ("dns error", "its name is not known"),
    ("h2 protocol error", "who listens there does not speak gRPC"),
    ("get_system_info", "who answers there is no Temporal server"),
    ("invalid target URL", "that is no address"),
    ("CertificateRequired", "it wants a client's certificate"),
    ("invalid peer certificate", "its certificate is not trusted here"),
)
"""What the SDK's errors, which quote the insides of its libraries, say to a person."""


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, TimeoutError):
        return "no answer in time"
    for sign, reason in _REASONS:
        if sign in text:
            return reason
    return text if len(text) <= 120 else text[:119] + "…"

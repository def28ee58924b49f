"""Ports and addresses on this machine."""

from __future__ import annotations

import socket


def free_port(ip: str = "127.0.0.1") -> int:
    """Return a TCP port of `ip` that nobody listens on.

    The port has held one connection, closed from our side. While that lingers
    (60 s on Linux) the kernel gives the port to nobody who asks for any free
    one, so processes that start side by side do not get the same.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, 0))
        listener.listen(1)
        port: int = listener.getsockname()[1]
        with socket.create_connection((reachable(ip), port)):
            listener.accept()[0].close()
        return port


def is_free(ip: str, port: int) -> bool:
    """Whether a service could listen on this port of `ip` now."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ip, port))
            listener.listen(1)
        except OSError:
            return False
    return True


def reachable(ip: str) -> str:
    """Where a service bound to `ip` answers: loopback for "any address"."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip)


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

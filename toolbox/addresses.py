"""Which hosts a tool may reach, and which addresses those may have.

An allow-list names hosts; names resolve to addresses that somebody else chooses. So both are
judged: the host by the list, each address by what it is. Private, loopback, link-local and
other special addresses (the metadata service of a cloud among them) are refused, unless the
declaration says `private`, or the list has the address itself.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from toolbox.exceptions import ToolRefused, ToolUnavailable

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host and port to its addresses. May raise OSError."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def allowed(host: str, allow: Sequence[str]) -> bool:
    """Say whether an allow-list has the host; "*.example.org" stands for all below, not for it."""
    host = host.lower().rstrip(".")
    for entry in allow:
        entry = entry.lower().strip("[]")
        if entry.startswith("*."):
            if host.endswith(entry[1:]) and host != entry[2:]:
                return True
        elif host == entry:
            return True
    return False


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_address(
    host: str, port: int, allow: Sequence[str], private: bool, resolver: Resolve = resolve
) -> str:
    """Return the address to connect to. Raises ToolRefused, ToolUnavailable.

    Every address of the host is judged, not only the one that is used: a name that has a private
    one beside a public one is not to be trusted.
    """
    if not allowed(host, allow):
        raise ToolRefused(f"{host} is not on the allow-list of this tool")
    try:
        addresses = [_address(text) for text in await resolver(host, port)]
    except (OSError, UnicodeError, ValueError):
        raise ToolUnavailable(f"{host} has no address that can be found") from None
    if not addresses:
        raise ToolUnavailable(f"{host} has no address")
    literal = _is_literal(host)
    for address in addresses:
        if not private and not literal and _special(address):
            raise ToolRefused(f"{host} has an address of a private network: {address}")
    return str(addresses[0])


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _is_literal(host: str) -> bool:
    try:
        _address(host)
    except ValueError:
        return False
    return True


def _special(address: Address) -> bool:
    """Say whether an address is no public one; those in IPv6's clothes are looked at too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _special(inner)
        if address in _NAT64:
            return _special(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return not address.is_global or address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

"""Connections by our own sockets: TLS, proxies, both directions, and what goes wrong."""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.bodies import body_of
from providers.network import Network, by_own_sockets
from providers.sockets import MOST_BYTES, Socket
from providers.tls import tls_context
from tests.providers.test_bodies import HEAD, TEXT, WHOLE, RawServer, framed, serving

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and the certificate of 127.0.0.1 that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.asynccontextmanager
async def serving_tls(server: RawServer, certificate: Path) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(server, context) as url:
        yield url


class Proxy(RawServer):
    """A proxy that makes tunnels, and remembers where to."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0])
        host, port = head.split()[1].split(b":")
        there, back = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


def client_of(certificate: Path, trust_env: bool = False) -> httpx2.AsyncClient:
    context = ssl.create_default_context(cafile=str(certificate))
    return by_own_sockets(httpx2.AsyncClient(timeout=30, trust_env=trust_env, verify=context))


def plain_client() -> httpx2.AsyncClient:
    return by_own_sockets(httpx2.AsyncClient(timeout=30, trust_env=False, verify=tls_context()))


async def ask(client: httpx2.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as response:
        body = body_of(response)
        assert body.__name__ == "_frames_off"  # type: ignore[attr-defined]
        return b"".join([piece async for piece in body])


async def test_streams_under_TLS_share_a_connection(certificate: Path) -> None:
    server = RawServer([WHOLE[:200], WHOLE[200:]], keep=True)
    async with serving_tls(server, certificate) as url, client_of(certificate) as client:
        for _ in range(3):
            assert (await ask(client, url)).endswith(TEXT * 40)
    assert (server.requests, server.connections) == (3, 1)


async def test_a_connection_under_TLS_that_was_closed_since_is_not_used_again(
    certificate: Path,
) -> None:
    server = RawServer([WHOLE])
    async with serving_tls(server, certificate) as url, client_of(certificate) as client:
        for _ in range(2):
            assert (await ask(client, url)).endswith(TEXT * 40)
            await asyncio.sleep(0.05)
    assert (server.requests, server.connections) == (2, 2)


async def test_an_answer_under_TLS_that_breaks_off_is_an_error(certificate: Path) -> None:
    server = RawServer([HEAD + b"\r\n" + framed(TEXT)])
    async with serving_tls(server, certificate) as url, client_of(certificate) as client:
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
            await ask(client, url)


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    server = RawServer([WHOLE])
    async with serving_tls(server, certificate) as url, plain_client() as client:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(url)
    assert server.requests == 0


async def test_a_handshake_that_is_not_answered_is_a_connect_timeout(certificate: Path) -> None:
    class Silent(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

    async with serving(Silent([])) as url, client_of(certificate) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(
                url.replace("http:", "https:"), timeout=httpx2.Timeout(30, connect=0.2)
            )


async def test_proxies_of_the_environment_are_used(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = Proxy(), RawServer([WHOLE[:100], WHOLE[100:]], keep=True)
    async with serving(proxy) as through, serving_tls(server, certificate) as url:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", through)
        async with client_of(certificate, trust_env=True) as client:
            for _ in range(2):
                assert (await ask(client, url)).endswith(TEXT * 40)
    assert len(proxy.asked) == 1
    assert proxy.asked[0].startswith(b"CONNECT 127.0.0.1:")


def test_every_way_out_of_a_client_is_by_our_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    client = by_own_sockets(httpx2.AsyncClient())
    ways = [client._transport, *filter(None, client._mounts.values())]
    assert len(ways) == 3
    for way in ways:
        assert isinstance(way, httpx2.AsyncHTTPTransport)
        assert isinstance(way._pool._network_backend, Network)


async def test_a_large_request_goes_out_whole() -> None:
    sizes = []

    class Slow(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.1)  # the system's buffers are full by then
            sizes.append(len(await reader.readexactly(20_000_000)))
            writer.write(WHOLE)

    async with serving(Slow([])) as url, plain_client() as client:
        answer = await client.post(url, content=b"x" * 20_000_000)
    assert answer.status_code == 200
    assert sizes == [20_000_000]


async def test_a_refusal_of_a_request_that_is_still_being_sent_is_read() -> None:
    class Hasty(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            await writer.drain()
            await asyncio.sleep(0.1)

    async with serving(Hasty([])) as url, plain_client() as client:
        answer = await client.post(url, content=b"x" * 50_000_000)
    assert answer.status_code == 413


async def test_who_sends_more_than_is_read_has_to_wait() -> None:
    sent = 0

    class Flood(RawServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            while sent < 200_000_000:
                writer.write(b"x" * 100_000)
                await writer.drain()
                sent += 100_000

    async with serving(Flood([])) as url:
        socket = await Socket.connected("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 100_000_000
        first = await socket.receive()
        assert MOST_BYTES < len(first) <= 3 * MOST_BYTES
        rest = 0
        while rest < 20_000_000:  # more than all buffers together: it goes on
            rest += len(await socket.receive())
        await socket.aclose()


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    server = RawServer([b"ab", b"cd"], keep=True)
    async with serving(server) as url:
        socket = await Socket.connected("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))
        waiting = asyncio.create_task(socket.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await socket.send(b"go\r\n\r\n")
        with pytest.raises(asyncio.CancelledError):
            await waiting
        found = b""
        while len(found) < 4:
            found += await socket.receive()
        assert found == b"abcd"
        await socket.aclose()


async def test_what_was_closed_or_broken_says_so() -> None:
    server = RawServer([b"ab"])
    async with serving(server) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        socket = await Socket.connected("127.0.0.1", port)
        await socket.send(b"go\r\n\r\n")
        assert await socket.receive() == b"ab"
        with pytest.raises(EndOfStream):
            await socket.receive()
        await socket.aclose()
        with pytest.raises(ClosedResourceError):
            await socket.send(b"more")
        other = await Socket.connected("127.0.0.1", port)
        other.connection_lost(ConnectionResetError())
        with pytest.raises(BrokenResourceError):
            await other.receive()
        with pytest.raises(BrokenResourceError):
            await other.send(b"more")
        await other.aclose()

"""HTTP for tools: allow-list, addresses, redirects, and arguments that would like to lead out."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from contracts.tools import BuiltinTool, HttpTool
from toolbox.addresses import allowed, checked_address
from toolbox.builtin import BuiltinTools
from toolbox.calls import Invocation
from toolbox.exceptions import BadArguments, ToolDied, ToolRaised, ToolRefused, ToolUnavailable
from toolbox.fetching import BODY_BYTES, Fetcher, Sent
from toolbox.requests import HttpTools, request_url

pytestmark = pytest.mark.integration


class _Pages(BaseHTTPRequestHandler):
    """Answers by path; keeps what it was asked."""

    seen: list[dict[str, Any]] = []

    def _serve(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        self.seen.append(
            {"path": self.path, "headers": dict(self.headers), "body": body, "how": self.command}
        )
        if self.path.startswith("/to?"):
            self.send_response(int(self.path[4:7]))
            self.send_header("location", self.path[8:])
            self.end_headers()
        elif self.path == "/big":
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.end_headers()
            for _ in range(40):
                self.wfile.write(b"x" * 1_000_000)
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
        else:
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"hello")

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    _Pages.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def resolver(**hosts: Sequence[str]) -> Any:
    async def resolve(host: str, port: int) -> Sequence[str]:
        try:
            return hosts[host.replace(".", "_")]
        except KeyError:
            raise OSError("no such host") from None

    return resolve


HERE = resolver(api_test=["127.0.0.1"], evil_test=["127.0.0.1"])


def fetcher(*allow: str, private: bool = True) -> Fetcher:
    return Fetcher(allow, private, HERE)


@pytest.mark.parametrize(
    ("host", "allow", "fits"),
    [
        ("api.example.org", ["api.example.org"], True),
        ("API.example.org.", ["api.example.org"], True),
        ("api.example.org.evil.com", ["api.example.org"], False),
        ("evilexample.org", ["*.example.org"], False),
        ("a.b.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("anything", [], False),
    ],
)
def test_an_allow_list_names_hosts(host: str, allow: list[str], fits: bool) -> None:
    assert allowed(host, allow) is fits


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1",
        "2002:7f00:1::", "64:ff9b::7f00:1", "255.255.255.255",
    ],
)  # fmt: skip
async def test_a_name_with_a_private_address_is_refused(address: str) -> None:
    for addresses in ([address], ["93.184.216.34", address]):
        look = resolver(api_test=addresses)
        with pytest.raises(ToolRefused, match="private network"):
            await checked_address("api.test", 80, ["api.test"], False, look)
    assert await checked_address("api.test", 80, ["api.test"], True, resolver(api_test=[address]))


async def test_a_public_address_is_used_and_a_name_without_one_is_not_there() -> None:
    look = resolver(api_test=["93.184.216.34"])
    assert await checked_address("api.test", 80, ["api.test"], False, look) == "93.184.216.34"
    with pytest.raises(ToolUnavailable, match="has no address"):
        await checked_address("other.test", 80, ["other.test"], False, look)


async def test_the_request_goes_to_the_judged_address_under_the_hosts_name(port: int) -> None:
    got = await fetcher("api.test").fetch(Sent("GET", f"http://api.test:{port}/x"))
    assert (got.status, got.data) == (200, b"hello")
    headers = {name.lower(): value for name, value in _Pages.seen[0]["headers"].items()}
    assert headers["host"] == f"api.test:{port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.test:{port}/", "http://127.0.0.1:{port}/", "file:///etc/passwd",
        "http://api.test@evil.test:{port}/", "http://api.test:x@api.test:{port}/", "gopher://x",
        "http://[::1]:{port}/", "http:///x", "",
    ],
)  # fmt: skip
async def test_urls_off_the_list_are_not_fetched(port: int, url: str) -> None:
    spec = BuiltinTool(name="f", builtin="fetch_url", allow=("api.test",), private=True)
    tools = BuiltinTools(spec, fetcher("api.test"))
    with pytest.raises(ToolRefused):
        await tools.call(Invocation({"url": url.format(port=port)}))
    assert _Pages.seen == []


async def test_a_redirect_on_the_list_is_followed_without_its_secrets(port: int) -> None:
    both = fetcher("api.test", "evil.test")
    headers = {"authorization": "Bearer t0ken"}
    url = f"http://api.test:{port}/to?302=http://evil.test:{port}/there"
    assert (await both.fetch(Sent("GET", url, headers))).data == b"hello"
    assert "authorization" not in {name.lower() for name in _Pages.seen[1]["headers"]}
    url = f"http://api.test:{port}/to?302=/there"
    await both.fetch(Sent("GET", url, headers))
    assert "authorization" in {name.lower() for name in _Pages.seen[3]["headers"]}


@pytest.mark.parametrize(
    "target", ["http://evil.test:{port}/", "file:///etc/passwd", "//evil.test/"]
)
async def test_a_redirect_off_the_list_is_refused(port: int, target: str) -> None:
    url = f"http://api.test:{port}/to?307=" + target.format(port=port)
    with pytest.raises(ToolRefused):
        await fetcher("api.test").fetch(Sent("GET", url))
    assert len(_Pages.seen) == 1


async def test_redirects_have_an_end(port: int) -> None:
    url = f"http://api.test:{port}/to?302=/to?302=/to?302=/to?302=/to?302=/to?302=/to?302=/x"
    with pytest.raises(ToolRefused, match="redirects"):
        await fetcher("api.test").fetch(Sent("GET", url))


async def test_a_flood_is_cut(port: int) -> None:
    got = await fetcher("api.test").fetch(Sent("GET", f"http://api.test:{port}/big"))
    assert (len(got.data), got.size) == (BODY_BYTES, 40_000_000)


async def test_a_cut_answer_and_a_closed_port(port: int) -> None:
    here = fetcher("api.test")
    with pytest.raises(ToolUnavailable):
        await here.fetch(Sent("GET", f"http://api.test:{port}/cut"))
    with pytest.raises(ToolDied):
        await here.fetch(Sent("POST", f"http://api.test:{port}/cut"))
    with pytest.raises(ToolUnavailable, match="cannot be reached"):
        await here.fetch(Sent("POST", "http://api.test:1/"))


def http_tool(url: str, **more: Any) -> HttpTool:
    return HttpTool.model_validate({"name": "f", "url": url, **more})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a b", "/o/a%20b"),
        ("a/b", "/o/a%2Fb"),
        ("../../admin", "/o/..%2F..%2Fadmin"),
        ("x?y=1#z", "/o/x%3Fy%3D1%23z"),
        ("ü", "/o/%C3%BC"),
    ],
)
def test_an_argument_fills_its_place_and_no_other(value: str, path: str) -> None:
    url = request_url(http_tool("https://api.test/o/{id}"), {"id": value})
    assert url == f"https://api.test{path}"


@pytest.mark.parametrize("value", ["..", "."])
async def test_an_argument_that_leads_up_is_refused(value: str) -> None:
    tools = HttpTools(http_tool("https://api.test/o/{id}/x"), {}, fetcher("api.test"))
    with pytest.raises(BadArguments):
        await tools.call(Invocation({"id": value}))


async def test_query_body_headers_and_the_idempotency_key(port: int) -> None:
    spec = http_tool(
        f"http://api.test:{port}/o/{{id}}?v=1",
        method="POST",
        query={"q": "{q?}", "n": "{n?}"},
        headers={"Authorization": "Bearer {TOKEN}", "X-Id": "{id}"},
        body={"text": "for {id}", "n": "{n}", "list": ["{id}", 3]},
        secrets=["TOKEN"],
    )
    tools = HttpTools(spec, {"TOKEN": "t0ken"}, fetcher("api.test"))
    call = Invocation({"id": "7", "n": 5, "q": "a&b=c"}, idempotency_key="k-1")
    assert (await tools.call(call)).data == b"hello"
    [seen] = _Pages.seen
    assert seen["path"] == "/o/7?v=1&q=a%26b%3Dc&n=5"
    assert json.loads(seen["body"]) == {"text": "for 7", "n": 5, "list": ["7", 3]}
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["x-id"] == "{id}"
    assert headers["idempotency-key"] == "k-1"


async def test_an_error_status_is_the_tools_failure(port: int) -> None:
    tools = HttpTools(http_tool(f"http://api.test:{port}/gone"), {}, fetcher("api.test"))
    with pytest.raises(ToolRaised, match="HTTP 404: hello"):
        await tools.call(Invocation({}))


async def test_a_hanging_server_can_be_left() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await fetcher("api.test").fetch(Sent("GET", f"http://api.test:{port}/"))
    await asyncio.wait_for(left.wait(), 30)
    server.close()

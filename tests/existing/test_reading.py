"""The parts that need no socket: envelopes, Go's encodings, routes, headers, the shapes of an answer, the pipe."""

import ast
import asyncio
import base64
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.existing import golang
from tests.existing.envelope import Message, RefusedError, decode_base64, encode, parse
from tests.existing.exchange import Exchange, Request
from tests.existing.link import GoneError, Link
from tests.existing.options import Options
from tests.existing.options import parse as parse_options
from tests.existing.order import Order, Where, read_order
from tests.existing.pipe import CancelledUploadError, Pipe
from tests.existing.reply import Buffered, Streamed, binary_answer, text_like
from tests.existing.sockets import handshake_headers
from tests.existing.wire import Answer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
pytestmark = pytest.mark.anyio
ROUTE: dict[str, Any] = {"service_name": "web", "namespace": "default", "service_port": 80}


def options(*more: str) -> Options:
    return parse_options(["--gateway", "ws://127.0.0.1:1", "--token", "t", "--cluster", "c", *more])


def order(**payload: Any) -> Order:
    return read_order(Message("proxy_request", "r-1", payload))


def test_imports_nothing_of_the_product():
    """Nor does what it shares with other tests: neither its gateway nor the builder of the one in Go."""
    shared = {"tests.fakes.gateway", "tests.go.build"}
    for file in [*HERE.glob("*.py"), *(ROOT / f"{name.replace('.', '/')}.py" for name in shared)]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in {"app", "tunnel"}, f"{file.name} imports {name}"
                known = name.startswith("tests.existing") or name in shared
                assert known or not name.startswith("tests."), f"{file.name}: {name}"


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        ("/a b", "/a%20b"),
        ("/%20", "/%2520"),
        ("/a?b", "/a%3Fb"),
        ("/é", "/%C3%A9"),
        ("/a,b;c:d@e&f=g+h$i", "/a,b;c:d@e&f=g+h$i"),
        ("/(a)!*'", "/%28a%29%21%2A%27"),
        ("", ""),
    ],
)
def test_paths(path: str, encoded: str):
    assert golang.encode_path(path) == encoded


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        ("z=1&a=2&flag", "a=2&flag=&z=1"),
        ("a=%20&b=+", "a=+&b=+"),
        ("a=2&a=1", "a=2&a=1"),
        ("&&a=1&", "a=1"),
        ("a=b=c", "a=b%3Dc"),
        ("%E9=%e9", "%E9=%E9"),
        ("a=~-_.", "a=~-_."),
    ],
)
def test_queries(query: str, encoded: str):
    assert golang.encode_query(query) == encoded


@pytest.mark.parametrize(
    ("query", "text"),
    [("a;b", "semicolon"), ("a=%", '"%"'), ("a=%4", '"%4"'), ("%zzz=1", '"%zz"')],
)
def test_bad_queries(query: str, text: str):
    with pytest.raises(ValueError, match=re.escape(text)):
        golang.encode_query(query)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1m30s", 90.0), ("1.5h", 5400.0), ("-1s", -1.0), ("5", None), ("", None), ("1 s", None)],
)
def test_durations(text: str, seconds: float | None):
    assert golang.duration_seconds(text) == seconds


def test_times():
    assert golang.parse_time("2026-01-02T03:04:05.5+02:00").utcoffset() == timedelta(hours=2)
    assert golang.parse_time(golang.now()).utcoffset() == timedelta(0)
    for bad in ("2026-01-02t03:04:05Z", "2026-01-02T03:04:05z", "2026-01-02T25:04:05Z", "2026-01-02T03:04Z", ""):
        with pytest.raises(ValueError, match=r".+"):
            golang.parse_time(bad)


def test_header_names():
    assert golang.canonical("sec-websocket-KEY") == "Sec-Websocket-Key"
    assert golang.canonical("x y") == "x y"


def test_envelope_of_the_agents_own():
    data = encode("pong", "p-1", {"b": "<&>\u2028", "a": None})
    assert data.startswith(
        b'{"type":"pong","request_id":"p-1","payload":{"a":null,"b":"\\u003c\\u0026\\u003e\\u2028"},"timestamp":"'
    )
    assert data.endswith(b'Z"}\n')
    assert "request_id" not in json.loads(encode("pong", "", {}))


@pytest.mark.parametrize("data", [b"[]", b"1", b'{"type":1}', b'{"payload":NaN}', b"{} {}", b'{"payload":1}'])
def test_envelopes_that_are_refused(data: bytes):
    with pytest.raises(RefusedError) as caught:
        parse(data)
    assert caught.value.section == "2"


def test_envelope_that_is_accepted():
    text = b'{"TYPE":"ping","Request_Id":null,"payload":null,"timestamp":null,"direction":"to_agent"}'
    assert parse(text) == Message("ping", "", {})


@pytest.mark.parametrize("text", ["YQ", "YQ=", "_-8=", "Y Q==", 5, None])
def test_base64_that_is_refused(text: object):
    with pytest.raises(ValueError, match=r".+"):
        decode_base64(text)


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({**ROUTE, "path": "/"}, Where.SERVICE),
        ({**ROUTE, "path": "/api/v1"}, Where.SERVICE),
        ({**ROUTE, "path": "/", "service_port": "80"}, Where.KUBERNETES),
        ({"path": "/api/v1/pods"}, Where.KUBERNETES),
        ({"path": "/healthz"}, Where.KUBERNETES),
        ({"path": "/"}, Where.INGRESS),
        ({"path": "/", "namespace": "x"}, Where.KUBERNETES),
        ({"path": "/", "namespace": "x", "headers": {"host": "app.example"}}, Where.INGRESS),
        ({"path": "/", "namespace": "x", "headers": {"X-Forwarded-Host": ["app.example"]}}, Where.INGRESS),
        ({"path": "/api/v1/x", "is_websocket": True}, Where.KUBERNETES),
        ({"path": "/ws", "isWebSocket": True, "namespace": "x"}, Where.INGRESS),
    ],
)
def test_routes(payload: dict[str, Any], where: Where):
    known = options("--ingress", "traefik.kube:80", "--ingress-host", "app.example")
    assert order(**payload).where(known) is where
    if where is Where.INGRESS:
        unknown = Where.NOWHERE if order(**payload).websocket else Where.KUBERNETES
        assert order(**payload).where(options()) is unknown


@pytest.mark.parametrize(
    ("payload", "websocket"),
    [
        ({}, False),
        ({"is_websocket": "true"}, False),
        ({"protocol": "chat"}, True),
        ({"headers": {"upgrade": "WebSocket"}}, True),
        ({"headers": {"Sec-WebSocket-Version": ["13"]}}, True),
        ({"headers": {"Sec-WebSocket-Key": [""]}}, False),
    ],
)
def test_what_is_a_websocket(payload: dict[str, Any], websocket: bool):
    assert order(**payload).websocket is websocket


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ({"body": "é"}, "é".encode()),
        ({"body": "YQ==", "body_encoding": "BASE64"}, b"a"),
        ({"body": "YQ", "body_encoding": "hex"}, b"YQ"),
        ({"body": {"a": [1]}}, b'{"a":[1]}'),
        ({"body": 5}, None),
        ({}, None),
    ],
)
def test_bodies(payload: dict[str, Any], body: bytes | None):
    assert order(**payload).body == body


def test_limits(monkeypatch: pytest.MonkeyPatch):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("tests.existing.order.datetime", SimpleNamespace(now=lambda _: now))
    assert order().seconds == 120
    assert order(timeout=500).seconds == 0.5
    assert order(timeout="2s").seconds == 2
    assert order(is_websocket=True).seconds == 24 * 3600
    assert order(deadline="2026-01-01T00:00:09Z").seconds == 9
    assert order(deadline="2026-01-01T00:00:09Z", timeout=500).seconds == 0.5
    assert order(deadline="2025-12-31T23:59:00Z", timeout=500).seconds == -60
    assert order(deadline="soon", timeout="soon").seconds == 120


def head(payload: dict[str, Any], body: bytes | Pipe | None = None, method: str = "GET") -> list[str]:
    """Lines of a request to a service."""
    request = Request(method, "/x", "host", order(**payload).service_headers(), body)
    exchange = Exchange(request, ("127.0.0.1", 1), tls=False, send_buffer=0)
    return [f"{name.decode()}: {value.decode()}" for name, value in exchange._head().headers.raw_items()]


def test_headers_to_a_service():
    given = {"x-drop": "1", "Connection": ["x-drop"], "TE": ["trailers"], "Upgrade": ["h2c"], "Cookie": ["c=1"]}
    wanted = ["Host: host", "User-Agent: Go-http-client/1.1", "Cookie: c=1", "X-Drop: 1", "Accept-Encoding: gzip"]
    assert head({"headers": given}) == wanted
    assert head({"headers": {"user-agent": "u", "Accept-Encoding": "br"}}) == [
        "Host: host",
        "User-Agent: u",
        "Accept-Encoding: br",
    ]


@pytest.mark.parametrize(
    ("method", "body", "headers", "framing"),
    [
        ("POST", b"abc", {}, "Content-Length: 3"),
        ("POST", b"abc", {"Content-Length": "3"}, "Transfer-Encoding: chunked"),
        ("DELETE", b"abc", {}, "Transfer-Encoding: chunked"),
        ("POST", None, {}, "Content-Length: 0"),
    ],
)
def test_framing_of_bodies(method: str, body: bytes | None, headers: dict[str, str], framing: str):
    lines = head({"headers": headers}, body, method)
    assert [line for line in lines if line.startswith(("Content-Length", "Transfer-Encoding"))] == [framing]


async def test_framing_of_a_streamed_body():
    assert "Transfer-Encoding: chunked" in head({}, Pipe(), "PUT")


def test_headers_of_a_websocket_handshake():
    given = {"Connection": ["Upgrade, X-Drop"], "X-Drop": ["1"], "Upgrade": ["websocket"], "Origin": ["o"]}
    given |= {"Sec-WebSocket-Key": ["k"], "Sec-WebSocket-Protocol": ["a, b"], "Host": ["h"]}
    assert handshake_headers(order(headers=given)) == [("Origin", "o"), ("Sec-WebSocket-Protocol", "a, b")]
    assert handshake_headers(order(protocol="p")) == [("Sec-WebSocket-Protocol", "p")]


@pytest.mark.parametrize(
    ("kind", "like"),
    [
        ("text/html", True),
        ("application/json", True),
        ("application/octet-stream", False),
        ("image/svg+xml", False),
        ("application/gzip+json", False),
        ("", False),
    ],
)
def test_what_is_text(kind: str, like: bool):
    assert text_like({"Content-Type": [kind]}) is like


class Sent(Link):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    async def send(self, kind: str, request_id: str, payload: dict[str, Any]) -> bool:
        self.messages.append((kind, payload))
        return True

    async def send_binary(self, data: bytes, request_id: str) -> bool:
        self.messages.append(data)
        return True


async def buffered(kind: str, body: bytes) -> Any:
    link = Sent()
    reply = Buffered(link, "r-1")
    await reply.head(Answer(200, {"Content-Type": [kind]}))
    await reply.body(body)
    await reply.end()
    (message,) = link.messages
    return message


async def test_buffered_answers():
    assert await buffered("text/plain", b"") == (
        "proxy_response",
        {"status": 200, "headers": {"Content-Type": ["text/plain"]}},
    )
    for kind, size, encoding in (
        ("text/plain", 1023, "base64"),
        ("text/plain", 1024, "gzip"),
        ("text/plain", 10239, "gzip"),
        ("x/y", 10239, "base64"),
    ):
        _, payload = await buffered(kind, b"a" * size)
        assert payload["encoding"] == encoding
        data = base64.b64decode(payload["body"])
        assert (gzip.decompress(data) if encoding == "gzip" else data) == b"a" * size
    headers = {"Content-Type": ["x/y"]}
    assert await buffered("x/y", b"a" * 10240) == binary_answer("r-1", 200, headers, b"a" * 10240)
    message = await buffered("text/plain", b"a" * 10240)
    assert gzip.decompress(message[message.index(b"\x1f\x8b") :]) == b"a" * 10240


async def test_failed_answers():
    link = Sent()
    for reply in (Streamed(link, "r-1"), Buffered(link, "r-1")):
        await reply.head(Answer(502))
        await reply.fail("no")
    assert link.messages == [
        ("proxy_response_header", {"status": 502, "headers": None}),
        ("proxy_response_abort", {"error": "no"}),
        ("proxy_error", {"error": "no"}),
    ]


async def test_first_message_between_two_connections_vanishes_and_the_next_fails(capsys: pytest.CaptureFixture[str]):
    link = Link()
    with pytest.raises(GoneError):
        await link.send("pong", "p-1", {})
    link.attach(None)  # type: ignore[arg-type]
    link.wire = object()  # type: ignore[assignment]
    link.detach()
    assert await link.send("pong", "p-2", {}) is False
    with pytest.raises(GoneError):
        await link.send("pong", "p-3", {})
    assert capsys.readouterr().err.splitlines() == [
        f"section 10: lost between two connections: pong p-{number}" for number in (1, 2, 3)
    ]


async def test_pipe_blocks_its_writer_until_the_reader_took_the_piece_or_left():
    pipe = Pipe()
    first = asyncio.create_task(pipe.write(b"a"))
    await asyncio.wait({first}, timeout=0)
    assert not first.done()
    assert await pipe.read() == b"a"
    await first
    second = asyncio.create_task(pipe.write(b"b"))
    await asyncio.wait({second}, timeout=0)
    await pipe.leave()
    await second
    await pipe.write(b"c")


async def test_pipe_ends_and_fails():
    pipe = Pipe()
    await pipe.end()
    assert await pipe.read() is None
    await pipe.cancel()
    with pytest.raises(CancelledUploadError):
        await pipe.read()


@pytest.mark.parametrize(
    "bad", [["--service", "web=1:2"], ["--yamux", "yes"], ["--entry", "x"], ["--route", "a.test=web:80"]]
)
def test_bad_options(bad: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        options(*bad)
    assert bad[0] in capsys.readouterr().err


def test_options():
    given = options("--service", "web.default:80=127.0.0.1:8080", "--service-limit", "0.5", "--yamux", "true")
    assert given.services == {"web.default:80": ("127.0.0.1", 8080)}
    assert (given.service_limit, given.yamux, given.entry) == (0.5, True, "controller")
    assert (options().heartbeat, options().ping, options().read_timeout, options().service_limit) == (30, 10, 60, 30)

"""Targets in absolute form: only the server's protocol sees their authority, and it has to be the Host's."""

import pytest

from tests.app.server.uvicorn_connection import Application, Connection
from tests.fakes.loop import dialogue, quiet

REFUSAL = "the target's authority does not match Host"


def answered() -> Application:
    app = Application()
    app.go.set()
    return app


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://h.test/x%2Fy?q=1", "h.test", b"/x%2Fy", b"q=1"),
        ("http://h.test", "h.test", b"/", b""),
        ("http://h.test?q=/", "h.test", b"/", b"q=/"),
        ("HTTP://H.Test./x", "h.test", b"/x", b""),
        ("http://h.test:80/x", "h.test", b"/x", b""),
        ("http://h.test/x", "h.test:80", b"/x", b""),
        ("https://h.test/x", "h.test:443", b"/x", b""),
        ("http://h.test:8080/x", "h.test:8080", b"/x", b""),
        ("http://[::1]/x", "[::1]:80", b"/x", b""),
        ("http://h.test//x", "h.test", b"//x", b""),
    ],
)
@dialogue
async def test_an_authority_that_is_the_host(target: str, host: str, path: bytes, query: bytes):
    app = answered()
    with Connection(app) as client:
        client.send(f"GET {target} HTTP/1.1", f"Host: {host}")
        await quiet()
        (scope,) = app.scopes
        assert (scope["raw_path"], scope["path"], scope["query_string"]) == (
            path, path.decode().replace("%2F", "/"), query,
        )  # fmt: skip
        assert "gateway.refused" not in scope["extensions"]


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("http://other.test/x", ["h.test"]),
        ("http://h.test.other.test/x", ["h.test"]),
        ("http://h.test:81/x", ["h.test"]),
        ("https://h.test/x", ["h.test:80"]),
        ("http://user:password@h.test/x", ["h.test"]),
        ("http://user@h.test/x", ["h.test"]),
        ("ftp://h.test/x", ["h.test"]),
        ("http://[::1]/x", ["[::2]"]),
        ("http://h.test/x", []),
        ("http://h.test/x", ["h.test", "h.test"]),
        ("http://h.test/x", ["h.test", "other.test"]),
    ],
)
@dialogue
async def test_an_authority_that_is_not(target: str, hosts: list[str]):
    app = answered()
    with Connection(app) as client:
        client.send(f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts))
        await quiet()
        (scope,) = app.scopes
        assert scope["extensions"]["gateway.refused"] == REFUSAL
        client.send("GET /x HTTP/1.1", "Host: h.test")  # the next request has extensions of its own
        await quiet()
        assert "gateway.refused" not in app.scopes[1]["extensions"]


@pytest.mark.parametrize("offer", ["websocket", "h2c"])
@dialogue
async def test_an_offer_to_upgrade_does_not_hide_it(offer: str):
    app = answered()
    with Connection(app) as client:
        client.send("GET http://other.test/w HTTP/1.1", "Host: h", f"Upgrade: {offer}", "Connection: Upgrade")
        await quiet()
        (scope,) = app.scopes
        assert (scope["type"], scope["extensions"]["gateway.refused"]) == ("http", REFUSAL)
        assert client.transport.protocol is client.protocol


@dialogue
async def test_a_websocket_with_an_absolute_target_has_its_path():
    app = Application()
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    fields = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    with Connection(app) as client:
        client.send("GET http://h/w%2F?q=1 HTTP/1.1", "Host: h", *fields)
        await quiet()
        (scope,) = app.scopes
        assert (scope["type"], scope["raw_path"], scope["query_string"]) == ("websocket", b"/w%2F", b"q=1")
        client.transport.protocol.data_received(bytes.fromhex("888000000000"))
        await quiet()


@dialogue
async def test_options_of_the_server_itself():
    app = answered()
    with Connection(app) as client:
        client.send("OPTIONS * HTTP/1.1", "Host: h")
        await quiet()
        assert [scope["raw_path"] for scope in app.scopes] == [b"*"]
        assert "gateway.refused" not in app.scopes[0]["extensions"]

"""What uvicorn's protocols do that our protocols and the doors rely on, beside the contract's names."""

from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.server.websocket import GatewayWebSocket
from tests.app.server.uvicorn_connection import Application, Connection, config
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport


@dialogue
async def test_each_request_has_a_scope_of_its_own_to_which_we_add() -> None:
    app = Application()
    app.go.set()
    with Connection(app) as client:
        for path in ("/a", "/b"):
            client.send(f"GET {path} HTTP/1.1", "Host: h")
            await quiet()
        first, second = app.scopes
        assert (first["raw_path"], second["raw_path"]) == (b"/a", b"/b")
        assert first["extensions"] is not second["extensions"]
        for scope in app.scopes:
            assert scope["extensions"] == {
                "gateway.abort": client.protocol.cut_off,
                "gateway.answer": client.protocol.answer,
            }
            assert scope["server"] == ("192.0.2.1", 8080)
        assert client.transport.written.count(b"HTTP/1.1 200 OK") == 2


@dialogue
async def test_uvicorns_own_scope_has_no_extensions_yet() -> None:
    """`on_message_begin` of ours replaces them whole; if they come to be filled, it must keep them."""
    protocol = HttpToolsProtocol(config(Application()), ServerState(), {})
    protocol.connection_made(FakeTransport())
    protocol.on_message_begin()
    assert "extensions" not in protocol.scope
    protocol.connection_lost(None)


@dialogue
async def test_an_idle_connection_ends_when_it_is_shut_down_and_a_busy_one_after_its_answer() -> None:
    app = Application()
    with Connection(app) as idle, Connection(app) as busy:
        assert idle.state.connections == {idle.protocol}
        busy.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        for client in (idle, busy):
            client.protocol.shutdown()
        assert idle.transport.closed
        assert not busy.transport.closed
        app.go.set()
        await quiet()
        assert busy.transport.closed
        assert b"connection: close" in busy.transport.written
        assert busy.transport.written.endswith(b"\r\n\r\nok")


@dialogue
async def test_fields_of_the_trailer_section_come_to_on_header_too():
    """Why ours looks at where it is."""
    seen: list[bytes] = []

    class Spy(HttpToolsProtocol):
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append(name)
            super().on_header(name, value)

    app = Application()
    app.go.set()
    protocol = Spy(config(app), ServerState(), {})
    protocol.connection_made(FakeTransport())
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    protocol.data_received(head + b"1\r\nx\r\n0\r\nX-Late: 1\r\n\r\n")
    await quiet()
    assert seen == [b"Host", b"Transfer-Encoding", b"X-Late"]
    protocol.connection_lost(None)


@dialogue
async def test_a_valueerror_in_a_callback_of_the_parser_is_a_400():
    class Strict(HttpToolsProtocol):
        def on_headers_complete(self) -> None:
            raise ValueError("not this one")

    app, transport = Application(), FakeTransport()
    protocol = Strict(config(app), ServerState(), {})
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await quiet()
    assert transport.written.startswith(b"HTTP/1.1 400 ")
    assert (transport.closed, app.scopes) == (True, [])
    protocol.connection_lost(None)


@dialogue
async def test_an_application_that_raises_after_its_head_cuts_the_connection() -> None:
    """How a broken answer is broken off on the ASGI door."""

    async def app(scope: object, receive: object, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken off")

    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        assert client.transport.written.endswith(b"half")
        assert client.transport.closed


# --- WebSockets


@dialogue
async def test_a_handshakes_scope_is_ours_to_complete_before_its_task_runs() -> None:
    app = Application()
    with Connection(app) as client:
        protocol = client.upgrade()
        assert protocol.handshake_initiated
        assert not protocol.close_sent
        assert app.scopes == [], "the task starts in the next turn of the loop"
        await quiet()
        extensions = app.scopes[0]["extensions"]
        assert extensions["websocket.http.response"] == {}
        assert extensions["gateway.abort"].args == (client.transport,)
        assert client.transport.written.startswith(b"HTTP/1.1 101 ")
        protocol.data_received(bytes.fromhex("888000000000"))
        await quiet()


@dialogue
async def test_a_handshake_that_uvicorn_refuses_has_no_scope() -> None:
    app = Application()
    with Connection(app) as client:
        client.send("GET /w HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade")
        protocol = client.transport.protocol
        assert isinstance(protocol, GatewayWebSocket)
        await quiet()
        assert protocol.close_sent
        assert not hasattr(protocol, "scope")
        assert app.scopes == []
        assert client.transport.written.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("vanishes", {"type": "websocket.disconnect", "code": 1005}),
        ("closes without a code", {"type": "websocket.disconnect", "code": 1005, "reason": ""}),
        ("closes with 4001", {"type": "websocket.disconnect", "code": 4001, "reason": "ok"}),
        ("is shut down", {"type": "websocket.disconnect", "code": 1012}),
    ],
)
def test_a_client_that_vanished_is_told_from_one_that_closed(how: str, told: dict[str, Any]) -> None:
    """`reason` is missing where no close frame came: the conversation relies on it."""

    @dialogue
    async def run() -> None:
        app = Application()
        with Connection(app) as client:
            protocol = client.upgrade()
            await quiet()
            if how == "vanishes":
                client.transport.lose()
            elif how == "is shut down":
                protocol.shutdown()
            else:
                payload = (4001).to_bytes(2, "big") + b"ok" if "4001" in how else b""
                protocol.data_received(bytes([0x88, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            await quiet()
            assert app.received == [told]

    run()

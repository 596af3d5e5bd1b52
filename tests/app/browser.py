"""A client's WebSocket on the gateway's own protocols, without a socket: frames by hand in, out of a fake wire."""

import asyncio
from typing import Any, Self

from app.server.websocket import GatewayWebSocket
from tests.app.fake_service import FakeService
from tests.app.fakes import HOST, Stage
from tests.app.server.uvicorn_connection import Connection, FakeTransport
from tests.app.virtual import quiet
from tunnel import websocket
from tunnel.websocket import Closed, Event, Message

HIGH_WATER = 64 * 1024


class Wire(FakeTransport):
    """A transport with a buffer: while `stuck`, nothing leaves it. Tells its protocol as uvloop's does."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = b""
        self.stuck = False
        self.reading = True
        self.writes = 0
        self.lost = False
        self._full = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "nothing is written after the close"
        self.writes += 1
        self.buffer += bytes(data)
        if not self.stuck:
            self.take(len(self.buffer))
        elif len(self.buffer) > HIGH_WATER and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def take(self, size: int) -> None:
        """The client reads so many bytes."""
        self.written += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if self._full and len(self.buffer) <= HIGH_WATER // 4:
            self._full = False
            self.protocol.resume_writing()
        if self.closed and not self.buffer:
            self.lose()

    def close(self) -> None:
        super().close()
        if not self.buffer:
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        super().abort()
        self.buffer = b""
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = self.closed = True
            self.protocol.connection_lost(error)

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Browser:
    """One client."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.wire = Wire()
        options = {"ws_ping_interval": None, "ws_per_message_deflate": False, **options}
        self.connection = Connection(stage.app, self.wire, **options)
        self.wire.protocol = self.connection.protocol
        self.codec = websocket.Connection(websocket.Role.CLIENT)
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.lose()

    def shake_hands(self) -> None:
        self.connection.send(
            "GET /ws HTTP/1.1", f"Host: {HOST}", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        )  # fmt: skip

    @property
    def protocol(self) -> GatewayWebSocket:
        protocol = self.wire.protocol
        assert isinstance(protocol, GatewayWebSocket)
        return protocol

    def bring(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def say(self, *messages: str | bytes) -> None:
        self.bring(b"".join(self.codec.send_message(message) for message in messages))

    def events(self) -> list[Event]:
        """What the gateway's frames mean, since the last call."""
        head, _, frames = self.wire.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        data = frames[self._read :]
        self._read = len(frames)
        return self.codec.receive_data(data) if data else []

    def heard(self) -> list[str | bytes]:
        return [event.data for event in self.events() if isinstance(event, Message)]

    def closed(self) -> tuple[int, str] | None:
        codes = [(event.code, event.reason) for event in self.events() if isinstance(event, Closed)]
        assert len(codes) <= 1
        return codes[0] if codes else None


async def browsing(stage: Stage, **options: Any) -> tuple[Browser, FakeService]:
    """An open WebSocket."""
    browser = Browser(stage, **options)
    browser.shake_hands()
    await quiet()
    service = FakeService(stage.link.exchanges[-1])
    service.accept()
    await quiet()
    assert browser.wire.written.startswith(b"HTTP/1.1 101 ")
    return browser, service


def told(service: FakeService) -> list[Closed]:
    """The close frames that the service got; it hangs up then."""
    frames = [event for event in service.heard() if isinstance(event, Closed)]
    if frames and not service.exchange.resets:
        service.exchange.bring(service.codec.data_to_send() or service.codec.close(1000))
        service.exchange.finish()
    return frames

"""A client's WebSocket at the door of our own, without a socket: frames by hand in, out of a fake wire."""

from typing import Any, Self, cast

from app.server.http import Protocol
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.app.stage import Stage
from tests.fakes.loop import quiet
from tests.fakes.service import FakeService
from tunnel import websocket
from tunnel.websocket import Closed, Event, Message


class Browser:
    """One client."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.front = Front(stage, **{"ws_ping_interval": None, **options})
        self.visitor = Visitor(self.front)
        self.wire = self.visitor.wire
        self.codec = websocket.Connection(websocket.Role.CLIENT)
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.lose()

    def shake_hands(self, *lines: bytes) -> None:
        self.visitor.ask("/ws", HANDSHAKE, *lines)

    @property
    def protocol(self) -> Protocol:
        """Of the transport: a `SplicedChannel` once the WebSocket is open and spliced."""
        return cast("Protocol", self.wire.protocol)

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


async def browsing(stage: Stage, *lines: bytes, **options: Any) -> tuple[Browser, FakeService]:
    """An open WebSocket. `lines`: fields that the handshake has besides."""
    browser = Browser(stage, **options)
    browser.shake_hands(*lines)
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

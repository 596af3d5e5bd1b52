"""A WebSocket service behind a fake exchange: answers the handshake, speaks frames, reads the door's."""

from typing import Any

from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import quiet
from tunnel import websocket
from tunnel.port import Headers
from tunnel.websocket import Connection, Event, Role
from tunnel.websocket.handshake import accept_for


class FakeService:
    """The far end of one WebSocket exchange."""

    def __init__(self, exchange: FakeExchange) -> None:
        self.exchange = exchange
        self.codec = Connection(Role.SERVER)
        self._read = 0

    @property
    def key(self) -> bytes:
        return next(value for name, value in self.exchange.head.headers if name.lower() == b"sec-websocket-key")

    def fields(self, protocol: bytes | None = None) -> Headers:
        chosen = [(b"Sec-WebSocket-Protocol", protocol)] if protocol is not None else []
        return [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", accept_for(self.key)),
            *chosen,
        ]

    def accept(self, protocol: bytes | None = None, more: Headers | None = None) -> None:
        self.exchange.answer(101, [*self.fields(protocol), *(more or [])])

    def say(self, *messages: str | bytes) -> None:
        self.exchange.bring(b"".join(self.codec.send_message(message) for message in messages))

    def ping(self, payload: bytes) -> None:
        self.exchange.bring(self.codec.send_ping(payload))

    def close(self, code: int | None, reason: str = "") -> None:
        self.exchange.bring(self.codec.close(code, reason))

    def heard(self) -> list[Event]:
        """What the door's frames mean, since the last call."""
        data = b"".join(self.exchange.data[self._read :])
        self._read = len(self.exchange.data)
        events = self.codec.receive_data(data) if data else []
        assert not any(isinstance(event, websocket.Failed) for event in events), events
        return events


async def opened(stage: Stage, target: str = "/ws", **scope: Any) -> tuple[WebSocket, FakeService]:
    call = WebSocket(stage.app, target, **scope).start()
    await quiet()
    service = FakeService(stage.link.exchanges[-1])
    service.accept()
    await quiet()
    assert call.accepted is not None
    return call, service


async def parted(call: WebSocket, service: FakeService) -> None:
    """Both leave in order."""
    call.leave(1000)
    await quiet()
    service.heard()
    service.exchange.bring(service.codec.data_to_send())
    service.exchange.finish()
    await call.over()
    assert service.exchange.ended == 1
    assert service.exchange.resets == 0

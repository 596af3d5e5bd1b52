"""A spliced WebSocket between a client and a service, both played by hand, over one HTTP/1.1 connection."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.observed.metrics import Metrics
from app.observed.record import Record
from app.public.splice import Splice
from app.rules.policy import Policy
from tests.app.observed.counted import samples
from tests.fakes.connections import Callbacks
from tests.fakes.sink import FakeSink
from tests.fakes.spliced_client import FakeSplicedClient
from tests.fakes.stream import FakeStream
from tunnel.account import Account
from tunnel.http1 import HttpConnection
from tunnel.override import override
from tunnel.port import RequestHead
from tunnel.websocket import Closed, Opcode, marked_ping
from tunnel.websocket.frames import apply_mask, close_payload, encode_frame, parse_head

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

PING_DOWN = marked_ping(masked=False)


def frame(payload: bytes = b"", opcode: int = Opcode.BINARY, *, masked: bool = False, fin: bool = True) -> bytes:
    return encode_frame(opcode, payload, masked, fin)


def close(code: int | None, reason: str = "", *, masked: bool = False) -> bytes:
    return encode_frame(Opcode.CLOSE, close_payload(code, reason), masked)


def frames_of(wire: bytes) -> list[tuple[int, bytes]]:
    """Each whole frame's first byte, and its payload without the mask."""
    found, at = [], 0
    while at < len(wire):
        head = parse_head(wire, at)
        assert head is not None, "a part of a head"
        first, second, length, payload = head
        at = payload + length
        body = wire[payload:at]
        assert len(body) == length, "a part of a frame"
        found.append((first, apply_mask(body, wire[payload - 4 : payload]) if second & 0x80 else body))
    return found


def pong_of(ping: bytes, *, masked: bool) -> bytes:
    """What a peer answers to a ping."""
    ((_, payload),) = frames_of(ping)
    return frame(payload, Opcode.PONG, masked=masked)


def closes(wire: bytes) -> list[Closed]:
    """The close frames in it."""
    payloads = [payload for first, payload in frames_of(wire) if first & 0x0F == Opcode.CLOSE]
    return [Closed(int.from_bytes(payload[:2]) if payload else 1005, payload[2:].decode()) for payload in payloads]


class Played(Splice):
    """Counts what it would tell the node."""

    overs = wakes = 0

    @override
    def talked(self) -> None:
        self.overs += 1

    @override
    def wake(self) -> None:
        self.wakes += 1

    @override
    def broke(self) -> None:
        raise AssertionError("a fault of ours")


class Pair:
    """The splice and its two ends.

    `early`: came with the 101; `waiting`: came while the client was being accepted; `before`: what happened then.
    """

    def __init__(
        self, *, early: bytes = b"", waiting: bytes = b"", reserved: int = 0, begins: bool = True,
        before: Callable[[FakeStream], None] | None = None, **policy: Any,
    ) -> None:  # fmt: skip
        self.account = Account(1 << 30)
        self.metrics = Metrics()
        self.client = FakeSplicedClient()
        self.record = Record("websocket", "id", "GET", b"a.test", b"/", None, asyncio.get_running_loop().time())
        self.closed = 0
        self.stream = FakeStream()
        connection = HttpConnection(
            self.stream,
            clock=lambda: 0.0,
            owner=Callbacks(on_idle=lambda _: None, on_closed=lambda _: self._connection_closed()),
        )
        head = RequestHead(b"GET", b"/", [(b"Host", b"a.test")], upgrade=True)
        self.sink = FakeSink()
        exchange = connection.open(head, self.sink)
        self.sink.on_call = lambda called: exchange.pause() if called == "data" else None
        self.stream.bring(SWITCHED + early)
        if waiting:
            exchange.pause()
            self.stream.bring(waiting)
        if before is not None:
            before(self.stream)
        self.at = len(self.stream.written)
        self.splice = Played(
            exchange, Policy(**policy), self.client, reserved=reserved, account=self.account, metrics=self.metrics,
            record=self.record,
        )  # fmt: skip
        if begins:
            self.begin()

    def begin(self) -> None:
        """What the call does once the client was accepted."""
        self.splice.begin(self.sink.body, self.sink.error, ended="end" in self.sink.calls)

    @property
    def overs(self) -> int:
        return self.splice.overs

    @property
    def wakes(self) -> int:
        return self.splice.wakes

    def _connection_closed(self) -> None:
        self.closed += 1

    # --- what it did

    @property
    def up(self) -> bytes:
        """What the service was sent."""
        return self.stream.written[self.at :]

    @property
    def down(self) -> bytes:
        """What the client was sent."""
        return self.client.written

    @property
    def state(self) -> str:
        return self.splice.state.name

    @property
    def ended(self) -> tuple[str, int | None, str]:
        """Who closed, with which code, at which limit."""
        return self.record.closed_by, self.record.close_code, self.record.limit

    @property
    def hits(self) -> dict[str, int]:
        counts = {key[1]: int(value) for key, value in samples(self.metrics).items() if key[0] == _LIMITS}
        return {limit: count for limit, count in counts.items() if count}

    # --- what happens to it

    def drain_stream(self) -> None:
        self.stream.is_writable = True
        self.stream.owner.stream_writable()

    def tick(self) -> float | None:
        return self.splice.tick(asyncio.get_running_loop().time())

    async def pass_time(self, seconds: float) -> None:
        """The ledger looks each half second."""
        for _ in range(round(seconds * 2)):
            await asyncio.sleep(0.5)
            if self.state != "OVER":
                self.tick()

    def part(self) -> None:
        """Both ends close in order, if they have not; then nothing is left."""
        self.client.drain()
        self.stream.is_writable = True
        if self.state != "OVER":
            self.stream.owner.stream_writable()
        self.client.turns()
        self.client.bring(close(1000, masked=True))
        self.stream.bring(close(1000))
        self.client.turns()
        self.stream.finish()
        self.client.turns()
        self.over()

    def over(self) -> None:
        """All is over, once, and nothing is held."""
        assert (self.state, self.overs, self.closed) == ("OVER", 1, 1)
        assert self.client.ended
        assert self.stream.unacknowledged == 0
        assert self.account.held_bytes == 0


_LIMITS = "gateway_limits_hit_total"

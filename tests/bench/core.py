"""What the sans-I/O parts cost, as microseconds and as a ratio to a fixed piece of pure Python of the same moment.

The ratio is what can be compared between machines and between days: a core that is slow now is slow for both. Every
case and the yardstick take turns, and the best of all turns counts.
"""

import time
from collections.abc import Callable

from tests.bench.table import Table
from tests.fakes.connections import Callbacks
from tunnel import http1, websocket
from tunnel.port import Headers, RequestHead, ResponseHead
from tunnel.streams import StreamOwner
from tunnel.yamux import DataReceived, Role, Session

TURNS = 15
TURN_SECONDS = 0.02

Case = Callable[[int], None]
"""Does its work so many times."""


class Item:
    """Of the yardstick."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0


def yardstick(count: int) -> None:
    """Fixed: attribute, dictionary, list, integer and bytes work in about the mix of a protocol's inner loop."""

    item = Item()
    table: dict[int, bytes] = {}
    for number in range(count):
        item.left = number & 1023
        piece = item.left.to_bytes(4, "big") + b"head"
        table[number & 63] = piece[2:]
        parts = [table[number & 63], piece]
        if len(b"".join(parts)) != 14:
            raise AssertionError


class YamuxPair:
    """Two sessions, one stream; one way, with its credit back."""

    def __init__(self, size: int) -> None:
        self._sender, self._receiver = Session(Role.SERVER), Session(Role.CLIENT)
        self._data = bytes(size)
        self._stream = self._sender.open_stream()
        self._carry(0)
        self._receiver.accept_stream(self._stream)
        self._sender.receive_data(self._receiver.data_to_send(), 0.0)

    def _carry(self, expected: int) -> None:
        received = 0
        while data := self._sender.data_to_send():
            for event in self._receiver.receive_data(data, 0.0):
                if type(event) is DataReceived:
                    received += len(event.data)
                    self._receiver.acknowledge(self._stream, len(event.data), 0.0)
        if received != expected:
            raise AssertionError(f"{received} of {expected} bytes came")
        if self._receiver.wants_to_send:
            self._sender.receive_data(self._receiver.data_to_send(), 0.0)

    def frames(self, count: int) -> None:
        """Written, framed, read, acknowledged: one loop turn for each frame."""
        for _ in range(count):
            self._sender.send_data(self._stream, self._data)
            self._carry(len(self._data))


class NullStream:
    """A byte stream to nowhere."""

    owner: StreamOwner
    held_bytes = 0

    def write(self, data: bytes, /) -> bool:
        return True

    def write_end(self) -> None:
        raise AssertionError("the connection was to be kept")

    def reset(self) -> None:
        raise AssertionError("the connection was to be kept")

    def acknowledge(self, size: int, /) -> None:
        """Taken."""


class NullSink:
    """Counts whole answers."""

    def __init__(self) -> None:
        self.ended = 0

    def head(self, head: ResponseHead, /) -> None:
        """Taken."""

    def data(self, data: bytes, /) -> None:
        """Taken."""

    def trailers(self, headers: Headers, /) -> None:
        """Taken."""

    def end(self) -> None:
        self.ended += 1

    def failed(self, error: Exception, /) -> None:
        raise AssertionError from error

    def writable(self) -> None:
        """Nothing waits."""


ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
    b"Content-Length: 11\r\n\r\nhello world"
)


def exchanges(count: int) -> None:
    """GET, answered at once, on one kept connection."""
    stream, sink = NullStream(), NullSink()
    connection = http1.HttpConnection(stream, clock=lambda: 0.0, owner=Callbacks())
    headers = [(b"Host", b"a.example.test"), (b"Accept", b"*/*"), (b"X-Forwarded-For", b"192.0.2.1")]
    for _ in range(count):
        connection.open(RequestHead(b"GET", b"/small?n=1", headers), sink).end()
        stream.owner.data_received(ANSWER)
    if sink.ended != count:
        raise AssertionError(f"{sink.ended} of {count} answers ended")


def codec(size: int) -> Case:
    """A text message through the client's encoder and the server's decoder, which undoes the mask."""
    text = "x" * size
    whole = [websocket.Message(text)]

    def pass_on(count: int) -> None:
        client = websocket.Connection(websocket.Role.CLIENT)
        server = websocket.Connection(websocket.Role.SERVER)
        for _ in range(count):
            if server.receive_data(client.send_message(text)) != whole:
                raise AssertionError("the message did not pass")

    return pass_on


def cases() -> dict[str, Case]:
    return {
        "yamux, a 64 B frame": YamuxPair(64).frames,
        "yamux, a 16 KiB frame": YamuxPair(16 * 1024).frames,
        "HTTP/1.1, a small exchange": exchanges,
        "WebSocket, a 64 B message": codec(64),
        "WebSocket, a 64 KiB message": codec(64 * 1024),
    }


def seconds_each(case: Case, count: int) -> float:
    began = time.perf_counter()
    case(count)
    return (time.perf_counter() - began) / count


def run() -> list[Table]:
    all_cases = {"yardstick": yardstick, **cases()}
    counts = {name: max(1, round(TURN_SECONDS / seconds_each(case, 20))) for name, case in all_cases.items()}
    best = dict.fromkeys(all_cases, float("inf"))
    for _ in range(TURNS):
        for name, case in all_cases.items():
            best[name] = min(best[name], seconds_each(case, counts[name]))
    unit = best.pop("yardstick")
    return [
        Table(
            "Sans-I/O parts, both ends together",
            ["", "us", "ratio to the yardstick"],
            [[name, f"{value * 1e6:.2f}", f"{value / unit:.1f}"] for name, value in best.items()],
            f"yardstick: {unit * 1e6:.2f} us of fixed pure Python, in the same turns; compare the ratios, not the us",
        )
    ]

"""A byte stream that only writes down what is done with it, and a sink that writes down what it is told."""

from collections.abc import Callable

from tunnel.errors import TunnelError
from tunnel.http1 import HttpConnection
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead
from tunnel.streams import StreamOwner


class FakeStream:
    """A `ByteStream`; `bring`, `finish` and `lose` are the peer's side. What breaks the contract fails."""

    owner: StreamOwner

    def __init__(self) -> None:
        self.written = b""
        self.is_writable = True
        self.ended = 0
        self.was_reset = 0
        self.lost = False
        self.received = 0
        self.acknowledged = 0

    def write(self, data: bytes) -> bool:
        assert data
        if not self.ended and not self.was_reset:
            self.written += data
        return self.is_writable

    def write_end(self) -> None:
        self.ended += 1

    def reset(self) -> None:
        self.was_reset += 1

    def acknowledge(self, size: int) -> None:
        assert size > 0
        self.acknowledged += size
        assert self.acknowledged <= self.received

    def bring(self, *pieces: bytes) -> None:
        for data in pieces:
            if not self.was_reset and not self.lost:
                self.received += len(data)
                self.owner.data_received(data)

    def finish(self) -> None:
        if not self.was_reset:
            self.owner.end_received()

    def lose(self, error: TunnelError) -> None:
        self.lost = True
        self.owner.stream_lost(error)

    @property
    def unacknowledged(self) -> int:
        return self.received - self.acknowledged

    @property
    def state(self) -> str:
        return "lost" if self.lost else "reset" if self.was_reset else "ended" if self.ended else "open"


class FakeSink:
    """A `Sink`; `on_call`, where set, is called with the name of each call, after it was written down."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.heads: list[ResponseHead] = []
        self.pieces: list[bytes] = []
        self.trailer_fields: Headers | None = None
        self.error: TunnelError | None = None
        self.on_call: Callable[[str], None] | None = None
        self._inside = False

    def head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self._called("head")

    def data(self, data: bytes) -> None:
        assert data
        assert type(data) is bytes
        self.pieces.append(data)
        self._called("data")

    def trailers(self, headers: Headers) -> None:
        self.trailer_fields = headers
        self._called("trailers")

    def end(self) -> None:
        self._called("end")

    def failed(self, error: TunnelError) -> None:
        self.error = error
        self._called("failed")

    def writable(self) -> None:
        self._called("writable")

    def _called(self, name: str) -> None:
        assert not {"end", "failed"} & set(self.calls), f"{name} after the end"
        self.calls.append(name)
        assert not self._inside, f"{name} from within another call"
        if self.on_call is not None:
            self._inside = True
            self.on_call(name)
            self._inside = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def statuses(self) -> list[int]:
        return [head.status for head in self.heads]

    @property
    def outcome(self) -> str:
        """`end`, the name of the error it failed with, or `open`."""
        if self.error is not None:
            return type(self.error).__name__
        return "end" if "end" in self.calls else "open"


class Talk:
    """One connection over a fake stream, with what it told: `fate` is `new`, `idle`, `closed`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.stream = FakeStream()
        self.connection = HttpConnection(
            self.stream,
            clock=lambda: self.now,
            on_idle=lambda connection: self.told.append("idle"),
            on_closed=lambda connection: self.told.append("closed"),
        )

    def open(
        self,
        method: bytes = b"GET",
        target: bytes = b"/",
        headers: Headers | None = None,
        *,
        body_length: int | None = 0,
        upgrade: bool = False,
    ) -> tuple[Exchange, FakeSink]:
        sink = FakeSink()
        fields = [(b"Host", b"a.test")] if headers is None else headers
        exchange = self.connection.open(RequestHead(method, target, fields, body_length, upgrade), sink)
        assert sink.calls == []
        return exchange, sink

    @property
    def fate(self) -> str:
        return self.told[-1] if self.told else "new"


def cut(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes; 0: all at once."""
    size = size or max(len(data), 1)
    return [data[at : at + size] for at in range(0, len(data), size)]


def ask(
    raw: bytes, size: int, *, method: bytes = b"GET", upgrade: bool = False, fin: bool = False
) -> tuple[Talk, FakeSink]:
    """One exchange, answered with `raw` in pieces of `size` (as in `cut`); `fin`: and the stream ends."""
    talk = Talk()
    _, sink = talk.open(method, upgrade=upgrade)
    talk.stream.bring(*cut(raw, size))
    if fin:
        talk.stream.finish()
    assert talk.stream.unacknowledged == 0
    return talk, sink

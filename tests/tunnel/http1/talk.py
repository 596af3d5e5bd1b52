"""One HTTP/1.1 connection over a fake stream, and exchanges on it."""

from tests.fakes.connections import Callbacks
from tests.fakes.sink import FakeSink
from tests.fakes.stream import FakeStream
from tunnel.http1 import HttpConnection
from tunnel.port import Exchange, Headers, RequestHead


class Talk:
    """One connection over a fake stream, with what it told: `fate` is `new`, `idle`, `closed`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.stream = FakeStream()
        self.connection = HttpConnection(
            self.stream,
            clock=lambda: self.now,
            owner=Callbacks(
                on_idle=lambda connection: self.told.append("idle"),
                on_closed=lambda connection: self.told.append("closed"),
            ),
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

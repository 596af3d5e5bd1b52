"""One exchange of which the test is the far end: it writes down what the door does, and tells the door's sink.

After `splice` the test is the far end of its stream.
"""

from typing import cast

from tests.fakes.stream import FakeStream
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.nobody import NOBODY
from tunnel.port import Headers, RequestHead, ResponseHead, Sink, Spliced, WholeSink
from tunnel.streams import StreamOwner


class _Stream(FakeStream):
    """The stream of a spliced exchange: what is written to it is the exchange's data."""

    def __init__(self, exchange: "FakeExchange", owner: StreamOwner) -> None:
        super().__init__()
        self.owner = owner
        self._exchange = exchange

    def write(self, data: bytes) -> bool:
        self.is_writable = self._exchange.welcome
        if not self._exchange.resets:
            self._exchange.data.append(data)
        return super().write(data)

    def reset(self) -> None:
        super().reset()
        self._exchange.resets += 1


class FakeExchange:
    """One exchange; the sink is told through it, so that calls after its end are caught."""

    def __init__(self, head: RequestHead, sink: Sink, *, fresh: bool) -> None:
        self.head = head
        self.fresh = fresh
        self.data: list[bytes] = []
        self.welcome = True
        self.ended = int(head.body_length == 0 and not head.upgrade)  # then the head is the whole request
        self.resets = 0
        self.paused = False
        self.log: list[str] = []
        self.held_bytes = 0
        self.account: Account | None = None
        self.stream: _Stream | None = None
        """Once it is spliced."""
        self._sink = sink
        self._told_end = False

    # --- told by the door

    def send_data(self, data: bytes, /) -> bool:
        assert self.resets == 0
        assert self.ended == 0
        self.data.append(data)
        return self.welcome

    def end(self) -> None:
        self.ended += 1

    def reset(self) -> None:
        self.resets += 1
        self.hold(0)

    def pause(self) -> None:
        self.paused = True
        self.log.append("pause")

    def resume(self) -> None:
        if self.paused:
            self.log.append("resume")
        self.paused = False

    def splice(self, owner: StreamOwner, /) -> Spliced | None:
        self.stream = _Stream(self, owner)
        self._sink = NOBODY
        return None if self._told_end or self.resets else Spliced(self.stream, self, False, b"", 0)

    def spliced_ended(self) -> None:
        """As its own `SplicedOwner`."""
        assert self.stream is not None
        if self.stream.state == "ended":
            self.ended += 1

    @property
    def body(self) -> bytes:
        return b"".join(self.data)

    def hold(self, size: int, account: Account | None = None) -> None:
        """So many bytes are held for it from now on; a reset lets go of them, as a stream's does."""
        self.account = account or self.account
        delta, self.held_bytes = size - self.held_bytes, size
        if self.account is not None:
            self.account.adjust(delta)

    def forget(self) -> None:
        """Let go of the sink, as a real exchange does once it is over."""
        self._sink = NOBODY

    # --- told to the door

    @property
    def sink(self) -> Sink:
        assert not self.resets, "the sink of a reset exchange is never called"
        assert not self._told_end, "the sink is never called after the end"
        return self._sink

    def answer(self, status: int = 200, headers: Headers | None = None) -> None:
        self.sink.head(ResponseHead(status, headers or []))

    def whole(self, body: bytes) -> None:
        """A whole answer in one call, as a sink that takes it so is given it."""
        field = (b"content-length", b"%d" % len(body))
        sink = self.sink
        self._told_end = True
        cast("WholeSink", sink).whole(200, [field], b"%b: %b\r\n" % field, body)

    def bring(self, *pieces: bytes) -> None:
        if self.stream is not None:
            self.stream.bring(*pieces)
            return
        for data in pieces:
            self.sink.data(data)

    def finish(self) -> None:
        if self.stream is not None:
            self.stream.finish()
            return
        sink = self.sink
        self._told_end = True
        sink.end()

    def fail(self, error: TunnelError) -> None:
        if self.stream is not None:
            self.stream.lose(error)
            return
        sink = self.sink
        self._told_end = True
        sink.failed(error)

    def drained(self) -> None:
        self.welcome = True
        if self.stream is not None:
            self.stream.owner.stream_writable()
            return
        self.sink.writable()

"""A byte stream that only writes down what is done with it."""

from tunnel.errors import TunnelError
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
    def held_bytes(self) -> int:
        return self.unacknowledged

    @property
    def unacknowledged(self) -> int:
        return self.received - self.acknowledged

    @property
    def state(self) -> str:
        return "lost" if self.lost else "reset" if self.was_reset else "ended" if self.ended else "open"

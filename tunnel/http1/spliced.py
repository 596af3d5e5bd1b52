"""A connection after its 101, once its bytes are those of its stream: all that is left of an `HttpConnection`.

Most of its life a WebSocket is this, so it keeps nothing of HTTP. Its owner is told once that it ended.
"""

from typing import Protocol

from tunnel.errors import TunnelError
from tunnel.override import override
from tunnel.port import Spliced
from tunnel.streams import ByteStream, StreamOwner


class SplicedOwner(Protocol):
    """Whose connection it was."""

    def spliced_ended(self) -> None:
        """It is over: its stream is ended, reset or lost."""


class SplicedConnection(Spliced, StreamOwner):
    """See the module. Within `finish` it takes the stream back, on which nothing more comes."""

    __slots__ = ("_is_over", "_owner", "_stream")

    def __init__(self, stream: ByteStream, owner: SplicedOwner, *, input_ended: bool) -> None:
        self._stream = stream
        self._owner = owner
        self._is_over = False
        self.input_ended = input_ended

    def __repr__(self) -> str:
        return f"<SplicedConnection {'over' if self._is_over else 'open'}>"

    @property
    @override
    def stream(self) -> ByteStream:
        return self._stream

    @override
    def finish(self) -> None:
        if self._is_over:
            return
        if self.input_ended:
            self._stream.owner = self
            self._stream.write_end()
        else:
            self._stream.reset()
        self.lose()

    @override
    def abort(self) -> None:
        if not self._is_over:
            self._stream.reset()
            self.lose()

    @override
    def lose(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._owner.spliced_ended()

    # --- told by the stream, after its end

    @override
    def data_received(self, data: bytes, /) -> None: ...

    @override
    def end_received(self) -> None: ...

    @override
    def stream_lost(self, error: TunnelError, /) -> None: ...

    @override
    def stream_writable(self) -> None: ...

"""The service's end of one WebSocket: its codec, and the exchange that carries its frames.

The other side of a conversation than its `Client`: knows RFC 6455 and the exchange, and no policy.
"""

from tunnel import websocket
from tunnel.port import Exchange

from .client_port import Message
from .passage import Passage


class ServiceEnd:
    """See the module. `up` is told while the stream takes nothing."""

    __slots__ = ("_exchange", "_in_order", "_paused", "_up", "codec", "ended", "full", "lost")

    def __init__(self, exchange: Exchange, max_message_bytes: int, up: Passage) -> None:
        self._exchange = exchange
        self.codec = websocket.Connection(max_message_bytes=max_message_bytes)
        """Of what comes; its answers are sent with `answer`."""
        self._up = up
        self._paused = False
        self._in_order = False  # the exchange was ended: nothing to reset
        self.full = False
        """The stream is above its mark."""
        self.ended = False
        """The service ended its stream, or is lost."""
        self.lost = False
        """Nothing can be written any more."""

    @property
    def held_bytes(self) -> int:
        """What the stream holds."""
        return self._exchange.held_bytes

    def send(self, message: Message) -> None:
        """Write a message; `full` says whether it was one too many."""
        self._write(self.codec.send_message(message))

    def ping(self) -> None:
        """Ask the service whether it is there."""
        self._write(self.codec.send_ping())

    def answer(self) -> None:
        """Send what the codec owes (pongs, the answer to a close); while the stream is full it keeps the newest."""
        if not self.full:
            self._write(self.codec.data_to_send())

    def close(self, code: int, reason: str) -> None:
        """Write our close frame: 1005 without a code, one that must not be sent as 1011."""
        try:
            frame = self.codec.close(None if code == 1005 else code, "" if code == 1005 else reason)
        except ValueError:  # 1006, 1015, and what no client may send: it vanished, in one way or another
            frame = self.codec.close(1011, "client vanished")
        self._write(frame)

    def drained(self) -> None:
        """The stream takes more: owed answers first, which may fill it again."""
        self.full = False
        self._up.unblock()
        self.answer()

    def pause(self) -> None:
        """Bring no more; idempotent."""
        if not self._paused:
            self._paused = True
            self._exchange.pause()

    def resume(self) -> None:
        """All that came is passed on. May bring more before it returns."""
        self._paused = False
        self._exchange.resume()

    @property
    def paused(self) -> bool:
        """It brings nothing until `resume`."""
        return self._paused

    def end(self) -> None:
        """End our direction, in order, where the service is still there."""
        if not self.lost:
            self._exchange.end()
            self._in_order = True

    def lose(self) -> None:
        """Nothing more can be written, and nothing comes."""
        self.lost = self.ended = True

    def reset(self) -> None:
        """Abandon the exchange, unless it was ended in order; idempotent."""
        if not self._in_order:
            self._exchange.reset()

    def _write(self, frames: bytes) -> None:
        if frames and not self.lost and not self._exchange.send_data(frames) and not self.full:
            self.full = True
            self._up.block()

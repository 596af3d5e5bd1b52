"""The service's end of one WebSocket: its codec, and the exchange that carries its frames.

The counterpart of `WebSocketClient` in a conversation. Knows RFC 6455 and the exchange, and no policy.
"""

from tunnel import websocket
from tunnel.port import Exchange

from .client_port import Message
from .passage import Passage


class ServiceEnd:
    """The service's end of one WebSocket. `up` measures how long the stream is full."""

    __slots__ = ("_ended_cleanly", "_exchange", "_paused", "_up", "codec", "ended", "full", "lost")

    def __init__(self, exchange: Exchange, max_message_bytes: int, up: Passage) -> None:
        self._exchange = exchange
        self.codec = websocket.Connection(max_message_bytes=max_message_bytes)
        """Decodes the service's frames; `answer` sends what it owes in return."""
        self._up = up
        self._paused = False
        self._ended_cleanly = False  # we have ended the exchange: nothing to reset
        self.full = False
        """The stream's buffer is above its mark."""
        self.ended = False
        """The service has ended its stream, or the exchange is lost."""
        self.lost = False
        """Nothing more can be written."""

    @property
    def held_bytes(self) -> int:
        """Bytes that the stream holds, and of pongs that wait for it."""
        return self._exchange.held_bytes + self.codec.owed_bytes

    def send(self, message: Message) -> None:
        """Write a message. Sets `full` if it filled the stream."""
        self._write(self.codec.send_message(message))

    def ping(self) -> None:
        """Send the service a ping."""
        self._write(self.codec.send_ping())

    def answer(self) -> None:
        """Send the codec's pending answers (pongs, our close). While the stream is full, it keeps them."""
        if not self.full:
            self._write(self.codec.data_to_send())

    def close(self, code: int, reason: str) -> None:
        """Write our close frame: 1005 becomes a frame without a code, a code that must not be sent becomes 1011."""
        try:
            frame = self.codec.close(None if code == 1005 else code, "" if code == 1005 else reason)
        except ValueError:  # 1006, 1015, and codes that no endpoint may send: the client vanished
            frame = self.codec.close(1011, "client vanished")
        self._write(frame)

    def drained(self) -> None:
        """The stream can take more: send pending answers first, which may fill it again."""
        self.full = False
        self._up.unblock()
        self.answer()

    def pause(self) -> None:
        """Ask for no more data; idempotent."""
        if not self._paused:
            self._paused = True
            self._exchange.pause()

    def resume(self) -> None:
        """Ask for more data, which may arrive before this returns."""
        self._paused = False
        self._exchange.resume()

    @property
    def paused(self) -> bool:
        """Whether `pause` is in force."""
        return self._paused

    def end(self) -> None:
        """End our direction cleanly, unless the exchange is lost."""
        if not self.lost:
            self._exchange.end()
            self._ended_cleanly = True

    def lose(self) -> None:
        """The exchange is lost: nothing more can be written or will arrive."""
        self.lost = self.ended = True

    def reset(self) -> None:
        """Reset the exchange, unless it was ended cleanly; idempotent."""
        if not self._ended_cleanly:
            self._exchange.reset()

    def _write(self, frames: bytes) -> None:
        if frames and not self.lost and not self._exchange.send_data(frames) and not self.full:
            self.full = True
            self._up.block()

"""Passes binary messages on in the pieces in which they come, for a reader to whom their borders mean nothing.

Nothing is assembled, and removing the mask is the only copy. It takes binary messages of one frame; all else, right or
wrong, it leaves to the connection that it reads for, frame by frame: text, control frames, fragments, and whatever
breaks a rule. So both are in step, and `Closed` and `Failed` are the last events here too.

The first bytes of a long frame are a piece of their own (`HEAD_BYTES`): in this way what follows a record's head there
needs no cut, which would copy it.
"""

from typing import Final

from tunnel.websocket.connection import Connection
from tunnel.websocket.events import Event, Piece
from tunnel.websocket.frames import apply_mask, parse_head

HEAD_BYTES: Final = 12
"""Of a yamux frame. A multiple of 4, so that the mask goes on as it began."""
LONG_BYTES: Final = 4096
"""A shorter frame is not worth a piece more."""
_PIECE_BYTES: Final = 65_536
"""The longest piece."""
_WHOLE_BINARY: Final = 0x82
_MASKED: Final = 0x80
_LENGTH_16: Final = 126


class PieceReader:
    """Reads for a connection in the server's role, whose peer masks."""

    __slots__ = ("_codec", "_mask", "left")

    def __init__(self, codec: Connection) -> None:
        self._codec = codec
        self.left = 0
        """Bytes missing of the current binary frame. While there are any, all data must come here."""
        self._mask = b""
        """Rotated to the next byte."""

    def __repr__(self) -> str:
        return f"<PieceReader {self.left} bytes of a frame left>"

    def receive_data(self, data: bytes, at: int, stop: int) -> tuple[list[Event], int]:
        """Take the peer's next bytes, from this place to `stop`, and the rest of the frame there up to 64 KiB.

        Returns what came, in order, and the place of what was not taken. So the caller bounds the work of one call,
        and frames are not cut where that is not needed.
        """
        events: list[Event] = []
        codec = self._codec
        view = memoryview(data)
        if self.left:
            at = self._pass(view, at, _PIECE_BYTES, events)
        while at < stop and not self.left:
            head = parse_head(data, at) if codec.room_bytes >= 0 else None
            if head is None or head[0] != _WHOLE_BINARY or head[1] < _MASKED or head[2] > codec.room_bytes:
                more, at = codec.receive_frames(data, at, 1)
                events += more
                continue
            _, second, length, begin = head
            if second & 0x7F >= _LENGTH_16 and not _is_shortest(second & 0x7F, length):
                more, at = codec.receive_frames(data, at, 1)
                events += more
                continue
            self.left, self._mask = length, data[begin - 4 : begin]
            at = begin
            if length > LONG_BYTES:
                at = self._pass(view, at, HEAD_BYTES, events)
            at = self._pass(view, at, _PIECE_BYTES, events)
        return events, at

    def _pass(self, view: memoryview, at: int, most: int, events: list[Event]) -> int:
        """Pass on what there is of the frame's payload, up to so many bytes. Returns where that ends."""
        size = min(self.left, most, len(view) - at)
        if not size:
            return at
        events.append(Piece(apply_mask(view[at : at + size], self._mask)))
        self.left -= size
        turn = size & 3
        if turn:
            self._mask = self._mask[turn:] + self._mask[:turn]
        return at + size


def _is_shortest(form: int, length: int) -> bool:
    """Whether a length that is not in the second byte is in its shortest form (RFC 6455 section 5.2)."""
    return length > 125 if form == _LENGTH_16 else length >= 1 << 16

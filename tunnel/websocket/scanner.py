"""Finds the borders of frames in a byte stream that is cut anywhere, without keeping any payload.

For a WebSocket whose bytes pass through unparsed: it counts the frames and says where a frame of our own may be
inserted. It checks no rule (the two ends do, and may use extensions), holds at most one unfinished head (13 bytes),
and costs the same for a frame of any size.
"""

from typing import NamedTuple

from tunnel.websocket.frames import parse_head


class FrameHead(NamedTuple):
    """One frame's head."""

    opcode: int
    fin: bool
    rsv: int
    """The three reserved bits, as a number from 0 to 7; extensions use them."""
    masked: bool
    length: int
    """Bytes of payload."""
    offset: int
    """Of the frame's first byte, counted from the first byte of the stream."""


class FrameScanner:
    """Follows one direction of a WebSocket, from the first byte after the handshake."""

    __slots__ = ("_head", "_skip", "border", "received_bytes")

    def __init__(self) -> None:
        self.received_bytes = 0
        """The number of bytes fed."""
        self.border = 0
        """The last border between frames in the bytes fed, counted from the first byte of the stream."""
        self._skip = 0
        """Bytes of the current frame's payload that have not come yet."""
        self._head = b""

    def __repr__(self) -> str:
        where = "at a border" if self.at_border else f"in a frame since {self.border}"
        return f"<FrameScanner {self.received_bytes} bytes, {where}>"

    @property
    def at_border(self) -> bool:
        """Whether the bytes fed end with a whole frame, or are none."""
        return self.border == self.received_bytes

    def feed(self, data: bytes) -> list[FrameHead]:
        """Take the next bytes of the stream. Returns the heads that they completed, in order."""
        self.received_bytes += len(data)
        skip = self._skip
        if len(data) < skip:
            self._skip = skip - len(data)
            return []
        base = self.received_bytes - len(data)
        if skip:
            self.border = base + skip
        if self._head:
            base -= len(self._head)
            data = self._head + data
            self._head = b""
        heads: list[FrameHead] = []
        at = skip
        self._skip = 0
        end = len(data)
        while at < end:
            parsed = parse_head(data, at)
            if parsed is None:
                self._head = data[at:]
                break
            first, second, length, payload = parsed
            heads.append(FrameHead(first & 0x0F, first > 0x7F, first >> 4 & 7, second > 0x7F, length, base + at))
            at = payload + length
            if at > end:
                self._skip = at - end
            else:
                self.border = base + at
        return heads

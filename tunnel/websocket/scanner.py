"""Follows the frames of one direction of a WebSocket whose bytes pass as they came, cut anywhere (RFC 6455 section 5).

It reads heads and control frames, and keeps nothing of a message. An unfinished head and an unfinished control frame
are held back (at most 138 bytes), so what was passed on ends either at a border between frames, where a frame of ours
may go in, or inside the payload of a data frame. What the payloads are, UTF-8 and compression, is the two ends' matter.

Invariant: the bytes passed on are the bytes fed, in order, without the pongs that answer our pings, up to the first
fault; a close frame is the last that passes.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from tunnel.websocket.events import Closed, Failed
from tunnel.websocket.frames import (
    CONTROL_LIMIT_BYTES,
    NO_CODE,
    Opcode,
    apply_mask,
    encode_frame,
    is_valid_code,
    parse_head,
)

NO_MESSAGE: Final = -1
LOOK: Final = -2
"""What `glance` returns in place of a size."""

FRAMES_AT_ONCE = 512
"""Heads that one call reads, in half a millisecond; the rest is for a later turn."""

_MARK = os.urandom(8)
"""The payload of our pings, which no ping of the two ends has."""
_CLOSE, _PING, _PONG = (int(opcode) for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG))
_LENGTH_LIMIT = 1 << 63
_RESERVED = 0x70
_FIN = 0x80


def marked_ping(*, masked: bool) -> bytes:
    """A ping of ours, whose pong a scanner cuts out. `masked`: towards a service."""
    return encode_frame(_PING, _MARK, masked)


class Scanned(NamedTuple):
    """What a piece of the stream brought."""

    passed: bytes
    """To be passed on."""
    sizes: list[int]
    """The messages that ended in it: bytes of payload, as they are on the wire."""
    end: Closed | Failed | None
    """A close frame, which is passed on, or a fault: nothing more is read."""
    rest: bytes
    """Not looked at: to be fed in a later turn."""


class WholeMessages:
    """The messages of one direction that come as one whole frame, as most do: they pass by their head alone.

    It keeps nothing, so all directions with the same limits share one (`whole_messages`).
    """

    __slots__ = ("_mask_bit", "_max_message_bytes", "_short", "_usual")

    def __init__(self, *, masked: bool, max_message_bytes: int, reserved: int) -> None:
        self._mask_bit = 0x80 if masked else 0
        self._short = 6 if masked else 2
        self._max_message_bytes = max_message_bytes
        self._usual = _usual(reserved)

    def size_of(self, data: bytes) -> int:
        """The size of the one message that `data` is, at a border between messages. LOOK: it is something else."""
        end = len(data)
        if end < 2 or data[0] not in self._usual:
            return LOOK
        length = data[1] - self._mask_bit
        if length < 126:
            whole = length + self._short
        elif length == 126 and end >= 4:
            length = data[2] << 8 | data[3]
            whole = length + self._short + 2
        elif length == 127 and end >= 10:
            length = int.from_bytes(data[2:10])
            whole = length + self._short + 8
        else:
            return LOOK
        return length if whole == end and 0 <= length <= self._max_message_bytes else LOOK

    def is_marked_pong(self, data: bytes) -> bool:
        """Whether `data`, at a border, is the pong that answers a ping of ours, and nothing else: it does not pass."""
        begin = self._short
        if len(data) != begin + len(_MARK) or data[0] != _FIN | _PONG or data[1] != self._mask_bit | len(_MARK):
            return False
        body = data[begin:]
        return (apply_mask(body, data[begin - 4 : begin]) if self._mask_bit else body) == _MARK


@lru_cache(maxsize=64)
def whole_messages(*, masked: bool, max_message_bytes: int, reserved: int) -> WholeMessages:
    """The one for these limits; see `FrameScanner`."""
    return WholeMessages(masked=masked, max_message_bytes=max_message_bytes, reserved=reserved)


def _usual(reserved: int) -> bytes:
    """The first byte of a message in one frame."""
    return b"\x81\x82\xc1\xc2" if reserved & 0x40 else b"\x81\x82"


class FrameScanner:
    """See the module. `masked`: the frames of a client.

    `max_message_bytes` bounds a message by its heads. `reserved`: the reserved bits that extensions may set, of 0x70.
    `admits` is asked for each message at the head of its last frame; where it returns False the message is refused
    with 1008.
    """

    __slots__ = (
        "_admits", "_ends", "_held", "_in_message", "_mask_bit", "_max_message_bytes", "_message_bytes", "_reserved",
        "_short", "_usual", "is_plain", "left",
    )  # fmt: skip

    def __init__(
        self, *, masked: bool, max_message_bytes: int, reserved: int = 0, admits: Callable[[int], bool] | None = None
    ) -> None:
        self._mask_bit = 0x80 if masked else 0
        self._short = 6 if masked else 2
        self._max_message_bytes = max_message_bytes
        self._reserved = reserved
        self._admits = admits
        self._usual = _usual(reserved)
        self._held = b""  # an unfinished head, or an unfinished control frame
        self._message_bytes = 0  # of the frames of the open message
        self._in_message = False  # its next frame continues it
        self._ends = False  # the open frame is the last of its message
        self.left = 0
        """Bytes of the open frame's payload that have not come yet. 0: what was passed on ends at a border."""
        self.is_plain = admits is None
        """Nothing is open or held, and nobody is to be asked."""

    def __repr__(self) -> str:
        where = f"{self.left} bytes of a frame left" if self.left else "at a border"
        return f"<FrameScanner {where}, {len(self._held)} bytes held>"

    @property
    def held_bytes(self) -> int:
        """Bytes held back."""
        return len(self._held)

    def glance(self, data: bytes) -> int:
        """The short way of `scan`: for a piece that is one whole message, or begins, continues or ends one frame.

        All of it passes then. Returns the size of the message that ends with it, or NO_MESSAGE. LOOK: it is something
        else, and was not taken.
        """
        end, left = len(data), self.left
        if left:
            if end < left:
                self.left = left - end
                return NO_MESSAGE
            if end > left or not self._ends:
                return LOOK
            self.left = 0
            self.is_plain = self._admits is None
            return self._end_message()
        if not self.is_plain or end < 2 or data[0] not in self._usual:
            return LOOK
        length = data[1] - self._mask_bit
        if length < 126:
            whole = length + self._short
        elif length == 126 and end >= 4:
            length = data[2] << 8 | data[3]
            whole = length + self._short + 2
        elif length == 127 and end >= 10:
            length = int.from_bytes(data[2:10])
            whole = length + self._short + 8
        else:
            return LOOK
        if whole < end or not 0 <= length <= self._max_message_bytes:
            return LOOK
        if whole == end:
            return length
        self.left = left = whole - end
        if left > length:  # the head is not whole
            self.left = 0
            return LOOK
        self._message_bytes, self._ends, self.is_plain = length, True, False
        return NO_MESSAGE

    def scan(self, data: bytes, most_frames: int = FRAMES_AT_ONCE) -> Scanned:
        """Take the next bytes of the stream, but no more than `most_frames` heads."""
        if self._held:
            data, self._held = self._held + data, b""
        if self.left > len(data):
            self.left -= len(data)
            return Scanned(data, [], None, b"")
        sizes: list[int] = []
        if self.left and self._ends:
            sizes.append(self._end_message())
        at, self.left = self.left, 0
        scanned = self._scan_frames(data, at, sizes, most_frames)
        self.is_plain = not (self.left or self._in_message or self._held or self._admits)
        return scanned

    def finish_frame(self, data: bytes) -> Scanned:
        """Take what of `data` belongs to the open frame. Nothing else is read."""
        part = data[: self.left]
        self.left -= len(part)
        sizes = [self._end_message()] if self._ends and not self.left else []
        return Scanned(part, sizes, None, data[len(part) :])

    def look_for_close(self) -> None:
        """Nothing that comes is passed on any more: messages have no limits."""
        self._max_message_bytes = _LENGTH_LIMIT
        self._admits = None

    def _scan_frames(self, data: bytes, at: int, sizes: list[int], most_frames: int) -> Scanned:
        """Read the frames that begin at `at`, which is a border."""
        begin, end = 0, len(data)  # of what passes and is not in `parts` yet
        parts: list[bytes] = []
        stop: Closed | Failed | None = None
        rest = b""
        while at < end:
            if not most_frames:
                rest, end = data[at:], at
                break
            most_frames -= 1
            head = parse_head(data, at)
            if head is None or _is_unfinished_control(head, end):
                self._held, end = data[at:], at
                break
            first, second, length, payload = head
            after = payload + length
            stop = self._fault(first, second, length)
            if stop is not None:
                end = at
                break
            if not first & 0x08:
                self._begin_frame(first >= _FIN, length, after - end, sizes)
            elif first & 0x0F != _PING:
                body = self._unmasked(data, payload, after)
                if first & 0x0F == _CLOSE:
                    stop = _close(body)
                    end = after if isinstance(stop, Closed) else at
                    break
                if body == _MARK:
                    parts.append(data[begin:at])
                    begin = after
            at = after
        passed = data[begin:end] if begin or end < len(data) else data
        return Scanned(b"".join((*parts, passed)) if parts else passed, sizes, stop, rest)

    def _begin_frame(self, is_last: bool, length: int, left: int, sizes: list[int]) -> None:
        """A data frame whose payload, but for `left` bytes, has come."""
        self._message_bytes += length
        self._ends = is_last
        self._in_message = not is_last
        if left > 0:
            self.left = left
        elif is_last:
            sizes.append(self._end_message())

    def _unmasked(self, data: bytes, payload: int, after: int) -> bytes:
        body = data[payload:after]
        return apply_mask(body, data[payload - 4 : payload]) if self._mask_bit else body

    def _end_message(self) -> int:
        size, self._message_bytes = self._message_bytes, 0
        self._ends = False
        return size

    def _fault(self, first: int, second: int, length: int) -> Failed | None:
        """What is wrong with a frame, by its head."""
        opcode = first & 0x0F
        if second & 0x80 != self._mask_bit:
            return Failed(1002, "a frame without a mask" if self._mask_bit else "a frame with a mask")
        if first & _RESERVED & ~self._reserved:
            return Failed(1002, "reserved bits without an extension")
        if opcode >= 0x08:
            if opcode > _PONG:
                return Failed(1002, "an unknown opcode")
            if first < _FIN or length > CONTROL_LIMIT_BYTES:
                return Failed(1002, "a control frame that is fragmented or too long")
            return None
        if opcode > Opcode.BINARY:
            return Failed(1002, "an unknown opcode")
        if (opcode == Opcode.CONTINUATION) is not self._in_message:
            return Failed(1002, "a message inside a message" if opcode else "a continuation of nothing")
        if length >= _LENGTH_LIMIT:
            return Failed(1002, "a length with its highest bit set")
        size = self._message_bytes + length
        if size > self._max_message_bytes:
            return Failed(1009, "message too large")
        if first >= _FIN and self._admits is not None and not self._admits(size):
            return Failed(1008, "rate limit exceeded")
        return None


def _is_unfinished_control(head: tuple[int, int, int, int], end: int) -> bool:
    """Whether it is a control frame, of a length that is allowed, that goes on after `end`."""
    first, _, length, payload = head
    return first & 0x08 != 0 and length <= CONTROL_LIMIT_BYTES and payload + length > end


def _close(payload: bytes) -> Closed | Failed:
    """A close frame's code and reason (section 5.5.1). Codes that must not be on the wire are a fault."""
    if not payload:
        return Closed(NO_CODE, "")
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not is_valid_code(code):
        return Failed(1002, "a close frame without a valid code")
    return Closed(code, payload[2:].decode(errors="replace"))

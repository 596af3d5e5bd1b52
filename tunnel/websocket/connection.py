"""One end of a WebSocket after its handshake: frames in, whole messages out (RFC 6455 sections 5 to 8).

It assembles messages, so it is the consumer of its input: the caller acknowledges all bytes at once. What it holds
is bounded: one message of at most `max_message_bytes` (refused by the head of its frame, before it is held), one
control frame, one head, `OWED_PONGS_BYTES` of pongs. It speaks no extension. Section numbers are RFC 6455's.

Invariants: `receive_data` never raises for what a peer sent; `Closed` and `Failed` are the last event; nothing is
sent after our close frame. The caller sends `data_to_send` after each `receive_data`. A stream that ends while
`state` is not CLOSED broke off (1006, which is never on the wire).
"""

from collections.abc import Sequence
from enum import Enum
from struct import Struct

from tunnel.websocket.events import Closed, Event, Failed, Message, Ping, Pong
from tunnel.websocket.frames import (
    CONTROL_LIMIT_BYTES,
    Opcode,
    apply_mask,
    close_payload,
    encode_frame,
    encode_in_parts,
    parse_close,
    parse_head,
)

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
"""The default limit for a message. One per WebSocket may be held."""
OWED_PONGS_BYTES = 16 * 1024
"""Of pongs that are not sent yet: 129 of the longest, 8,192 empty ones of a server. The oldest beyond it are dropped
(section 5.5.3 allows it): they belong to a peer that sends pings and does not read."""

_FIN = 0x80
_CONTROL = 0x08
_HEAD_BYTES = 2
_MASK_BYTES = 4
_unpack_head = Struct("!BBH").unpack_from
"""The first two bytes of a frame, and its length where that has 16 bits."""
_MASKED = 0x80
_OPCODE = 0x0F
_TEXT, _BINARY = int(Opcode.TEXT), int(Opcode.BINARY)  # computing with enum members is slower
_WHOLE_TEXT = _FIN | Opcode.TEXT
_WHOLE_BINARY = _FIN | Opcode.BINARY
_WHOLE = (_WHOLE_BINARY, _WHOLE_TEXT)
_FIRST_BYTES = {fin | opcode for opcode in Opcode for fin in (0, _FIN) if fin or opcode < _CONTROL}
"""Valid first bytes of a frame: no reserved bit (5.2), a known opcode (5.2), no control fragment (5.5)."""


class Role(Enum):
    """Which end we are. The client masks what it sends, the server does not (section 5.1)."""

    CLIENT = "client"
    SERVER = "server"


class State(Enum):
    """The state of the closing handshake (section 7.1)."""

    OPEN = "open"
    CLOSING = "closing"
    """We sent our close frame; the peer's has not come yet, but its messages may still come."""
    CLOSED = "closed"
    """Both close frames were sent, or the connection failed. Further input is ignored."""


_OPEN, _CLOSED = State.OPEN, State.CLOSED
"""By names of the module: read for every message."""


class Connection:
    """Encodes what we send and decodes what the peer sends."""

    __slots__ = (
        "_answers_pings",
        "_client",
        "_control",
        "_first",
        "_head",
        "_kind",
        "_left",
        "_mask",
        "_max_message_bytes",
        "_message",
        "_owed_close",
        "_owed_pongs",
        "_payload_at",
        "_peer_masks",
        "_whole_limit_bytes",
        "state",
    )

    def __init__(
        self, role: Role = Role.CLIENT, *, max_message_bytes: int = MAX_MESSAGE_BYTES, answers_pings: bool = True
    ) -> None:
        """`answers_pings`: False where the caller has each ping answered elsewhere."""
        self.state = _OPEN
        self._answers_pings = answers_pings
        self._client = role is Role.CLIENT
        self._peer_masks = 0 if self._client else _MASKED
        """The bit in the second byte of the peer's frames."""
        self._payload_at = _HEAD_BYTES if self._client else _HEAD_BYTES + _MASK_BYTES
        """Where the payload of the peer's short frames begins."""
        self._max_message_bytes = max_message_bytes
        self._head = b""
        """An unfinished head, at most 13 bytes."""
        self._message = bytearray()
        """The message being assembled, including what came of its current frame."""
        self._kind = 0
        """TEXT or BINARY between the fragments of a message, else 0."""
        self._control = bytearray()
        """The payload so far of a control frame, at most 125 bytes."""
        self._left = 0
        """Bytes missing of the current frame; its first byte and (rotated) mask are kept below."""
        self._first = 0
        self._mask = b""
        self._whole_limit_bytes = max_message_bytes
        """Of a message in one frame, if it came now; -1: none may, within a frame or a message, or when it is over."""
        self._owed_pongs: bytearray | None = None
        """Whole frames, oldest first; None where no pong is owed."""
        self._owed_close = b""

    def __repr__(self) -> str:
        role = "client" if self._client else "server"
        return f"<WebSocket {role} {self.state.value}, {self.buffered_bytes} bytes held>"

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of the message being assembled."""
        return len(self._message)

    @property
    def room_bytes(self) -> int:
        """The longest binary message that may come now, in one frame; -1 within a frame or a message."""
        return self._whole_limit_bytes

    @property
    def owed_bytes(self) -> int:
        """Bytes held of pongs that are not sent yet."""
        return len(self._owed_pongs) if self._owed_pongs is not None else 0

    def send_message(self, data: bytes | str) -> bytes:
        """Encode a message, text if `str`; b"" once our close frame was sent or the connection is over.

        Raises UnicodeEncodeError for text that UTF-8 cannot encode (lone surrogates).
        """
        if self.state is not _OPEN:
            return b""
        if isinstance(data, str):
            return encode_frame(_TEXT, data.encode(), self._client)
        return encode_frame(_BINARY, data, self._client)

    def send_in_parts(self, pieces: Sequence[bytes | memoryview], size_bytes: int) -> list[bytes | memoryview]:
        """Encode a binary message of these pieces, as parts to be written one after the other; else as `send_message`.

        `size_bytes` is that of all pieces together. Without a mask they are among the parts, not copied.
        """
        return encode_in_parts(_BINARY, pieces, size_bytes, self._client) if self.state is _OPEN else []

    def send_ping(self, payload: bytes = b"") -> bytes:
        """Encode a ping; b"" once our close frame was sent. Raises ValueError above 125 bytes."""
        return self._send_control(Opcode.PING, payload)

    def send_pong(self, payload: bytes = b"") -> bytes:
        """Encode an unsolicited pong; answers to pings are in `data_to_send`. Otherwise like `send_ping`."""
        return self._send_control(Opcode.PONG, payload)

    def close(self, code: int | None, reason: str = "") -> bytes:
        """Encode what is still owed and our close frame; b"" if that was sent already.

        None is a close without a code (the peer sees 1005). The reason is cut to 123 bytes. Raises ValueError for
        codes that must not be sent (1004-1006, 1015, unregistered), and for a reason without a code.
        """
        payload = close_payload(code, reason)
        if self.state is not _OPEN:
            return b""
        owed = self.data_to_send()
        self.state = State.CLOSING
        return owed + encode_frame(Opcode.CLOSE, payload, masked=self._client)

    def data_to_send(self) -> bytes:
        """What we owe since the last call: a pong for each ping (section 5.5.2), in order, then our close frame."""
        data = self._owed_close
        if self._owed_pongs is not None:
            data = bytes(self._owed_pongs) + data
            self._owed_pongs = None
        self._owed_close = b""
        return data

    def lose(self) -> None:
        """The stream broke off: take nothing more and hold nothing; idempotent."""
        self.state = _CLOSED
        self._message = bytearray()
        self._head = b""
        self._left = 0
        self._whole_limit_bytes = -1

    def receive_data(self, data: bytes) -> list[Event]:
        """Take the peer's next bytes, cut anywhere. Returns what they completed, in order."""
        message = self.whole_message(data)
        if message is not None:
            return [Message(message)]
        return self.receive_frames(data, 0, len(data) + 1)[0]

    def receive_frames(self, data: bytes, at: int, most: int) -> tuple[list[Event], int]:
        """Take the peer's next bytes, from this place on, and of them at most so many frames (1 or more).

        Returns what they completed, and the place of what was not taken. So the caller bounds the work of one call.
        """
        events: list[Event] = []
        if self._left:
            at += self._take_payload(data[at : at + self._left], events)
        shift = 0
        if self._head:
            shift = len(self._head) - at
            data = self._head + data[at:]
            self._head = b""
            at = 0
        end = len(data)
        while at < end and most and self.state is not _CLOSED:
            most -= 1
            parsed = parse_head(data, at)
            if parsed is None:
                self._head = data[at:]
                at = end
                break
            first, second, length, at = parsed
            fault = self._fault(first, second, length)
            if fault is not None:
                self._fail(*fault, events)
                break
            mask = b"" if self._client else data[at - 4 : at]
            if at + length <= end:
                payload = data[at : at + length]
                self._end_frame(first, apply_mask(payload, mask) if mask else payload, events)
            else:
                self._first, self._left, self._mask = first, length, mask
                self._take_payload(data[at:], events)
            at += length
        within = self._left or self._head or self._kind or self.state is _CLOSED
        self._whole_limit_bytes = -1 if within else self._max_message_bytes
        return events, (end if self.state is _CLOSED else min(at, end)) - shift

    def whole_message(self, data: bytes) -> bytes | str | None:
        """The message, if the peer's next bytes are exactly one message in one frame: the usual case, without events.

        None: they are something else, valid or not. Nothing was taken; give them to `receive_data`.
        """
        size = len(data)
        if size < 6:
            return None
        first, second, length = _unpack_head(data)
        short = second - self._peer_masks
        at = self._payload_at
        if short < 126:
            length = short
        elif short == 126 and length > 125:
            at += 2
        else:  # 64 bits of length, or not in its shortest form, or a mask where none may be
            return None
        if at + length != size or length > self._whole_limit_bytes or first not in _WHOLE:
            return None
        payload = apply_mask(data[at:], data[at - 4 : at]) if self._peer_masks else data[at:]
        if first == _WHOLE_BINARY:
            return payload
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return None

    def _fault(self, first: int, second: int, length: int) -> tuple[int, str] | None:
        """Why a frame with this head may not come now: the close code and the rule; None: it may."""
        if first not in _FIRST_BYTES:
            return 1002, "reserved bit, unknown opcode or fragmented control frame"
        if (second >= _MASKED) is self._client:
            return 1002, "masked frame from a server" if self._client else "unmasked frame from a client"
        form = second & 0x7F
        if (form == 126 and length < 126) or (form == 127 and not 65536 <= length < 1 << 63):
            return 1002, "length is not in its shortest form, or beyond 63 bits"
        if first & _CONTROL:
            return (1002, "control frame above 125 bytes") if length > CONTROL_LIMIT_BYTES else None
        if first & _OPCODE:
            if self._kind:
                return 1002, "new message inside a fragmented one"
        elif not self._kind:
            return 1002, "continuation of no message"
        if len(self._message) + length > self._max_message_bytes:
            return 1009, f"message above {self._max_message_bytes} bytes"
        return None

    def _take_payload(self, data: bytes, events: list[Event]) -> int:
        """Take what `data` has of the current frame's payload. Returns how many bytes that was."""
        piece = data[: self._left]
        size = len(piece)
        self._left -= size
        held = self._control if self._first & _CONTROL else self._message
        if self._mask:
            held += apply_mask(piece, self._mask)
            turn = size & 3
            self._mask = self._mask[turn:] + self._mask[:turn]
        else:
            held += piece
        if not self._left:
            payload = b""
            if held is self._control:
                payload = bytes(held)
                held.clear()
            self._end_frame(self._first, payload, events)
        return size

    def _end_frame(self, first: int, payload: bytes, events: list[Event]) -> None:
        """A frame is complete; `payload` is the part of it that is not in `_message` yet."""
        if first & _CONTROL:
            self._control_received(first & _OPCODE, payload, events)
            return
        kind = first & _OPCODE or self._kind
        whole: bytes | bytearray = payload
        if self._message or not first & _FIN:
            self._message += payload
            whole = self._message
        if not first & _FIN:
            self._kind = kind
            return
        self._kind = 0
        if whole is self._message:
            self._message = bytearray()
        if kind != Opcode.TEXT:
            events.append(Message(bytes(whole)))
            return
        try:
            events.append(Message(whole.decode()))
        except UnicodeDecodeError:
            self._fail(1007, "text is not UTF-8", events)

    def _control_received(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == Opcode.PONG:
            events.append(Pong(payload))
        elif opcode == Opcode.PING:
            events.append(Ping(payload))
            if self._answers_pings and self.state is _OPEN:
                self._owe_pong(payload)
        else:
            self._close_received(payload, events)

    def _owe_pong(self, payload: bytes) -> None:
        owed = self._owed_pongs
        if owed is None:
            owed = self._owed_pongs = bytearray()
        owed += encode_frame(Opcode.PONG, payload, masked=self._client)
        while len(owed) > OWED_PONGS_BYTES:
            del owed[: _HEAD_BYTES + (_MASK_BYTES if self._client else 0) + (owed[1] & ~_MASKED)]

    def _close_received(self, payload: bytes, events: list[Event]) -> None:
        try:
            parsed = parse_close(payload)
        except UnicodeDecodeError:
            self._fail(1007, "close reason is not UTF-8", events)
            return
        if parsed is None:
            self._fail(1002, "close frame with one byte or a forbidden code", events)
            return
        events.append(Closed(*parsed))
        self._end(payload)

    def _fail(self, code: int, reason: str, events: list[Event]) -> None:
        events.append(Failed(code, reason))
        self._end(close_payload(code, reason))

    def _end(self, payload: bytes) -> None:
        """Take nothing more, and owe our close frame unless it was sent."""
        if self.state is _OPEN:
            self._owed_close = encode_frame(Opcode.CLOSE, payload, masked=self._client)
        self.lose()

    def _send_control(self, opcode: Opcode, payload: bytes) -> bytes:
        if len(payload) > CONTROL_LIMIT_BYTES:
            raise ValueError("control frames hold at most 125 bytes")
        if self.state is not _OPEN:
            return b""
        return encode_frame(opcode, payload, masked=self._client)

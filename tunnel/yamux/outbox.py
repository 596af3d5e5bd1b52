"""What waits to be sent, and in which order.

Order: answers (pongs, refusals, our pings, go-away), RSTs, window updates and ACKs; then the short streams, then the
long ones, one data frame per turn. Both are ready: they have something to send now, their SYN, data and credit, or a
FIN. A stream without credit is not ready, so no turn is wasted. A stream is short while at most `SHORT_BYTES` wait in
it, from the moment on at which it got something to send: it does not wait for those that send all the time. While
long ones wait, the short ones get at most half of a batch, so nobody starves. Within a stream nothing is reordered.

A long stream that waits alone fills the batch with one frame; several send shorter ones (`frame_bytes`).

Bounds: answers by `Limits.control_bytes` (the receiver checks `answer_bytes`); RSTs by `Limits.max_streams` (a stream
counts until its RST was sent); window updates by one per live stream, because due credit is a number in the stream
and not a frame. A stream is in each queue at most once and leaves all of them when it is over, so an outbox that is
not empty has a frame to send.

A short piece of a stream that has nothing else to send becomes a frame at once (`pack`), as long as no stream waits
for a turn: it would be next in any case. These frames leave behind the control frames and before all turns. Where
nothing else is queued (`others`), they are the batch.
"""

from collections import OrderedDict, deque

from tunnel.yamux.batch import BATCH_BYTES, Batch, batch_of
from tunnel.yamux.buffer import EMPTY
from tunnel.yamux.frames import (
    ACK,
    DATA,
    FIN,
    HEADER,
    HEADER_BYTES,
    PLAIN_DATA,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
    encode_header,
)
from tunnel.yamux.stream import CLOSED, QUEUED, Move, Stream

_pack = HEADER.pack
_pack_plain = PLAIN_DATA.pack

_SLIVER_BYTES = 1024
"""At the end of a batch, data waits for the next batch instead of going into a frame smaller than this."""
SHORT_BYTES = 4096
"""The most that a short stream has to send, and the longest piece that is packed at once: a request head, a small
answer, but no body."""
_PACKED_BYTES = BATCH_BYTES
"""Of all packed frames together: one batch."""


class Outbox:
    """The sending order of one session. Sending changes streams: see `closed` and `drained`."""

    __slots__ = (
        "_answers",
        "_lone_frame_bytes",
        "_low_mark",
        "_packed",
        "_piece_bytes",
        "_ready",
        "_resets",
        "_short",
        "_updates",
        "buffered",
        "closed",
        "drained",
        "others",
        "packed_bytes",
    )

    def __init__(self, frame_bytes: int, lone_frame_bytes: int, low_mark: int) -> None:
        self._lone_frame_bytes = lone_frame_bytes
        self._low_mark = low_mark
        self._piece_bytes = min(SHORT_BYTES, frame_bytes, low_mark)
        self._answers = bytearray()
        self._resets: deque[tuple[int, int]] = deque()  # ids and codes
        self._updates: OrderedDict[int, Stream] = OrderedDict()
        self._short: OrderedDict[int, Stream] = OrderedDict()
        self._ready: OrderedDict[int, Stream] = OrderedDict()
        """The long ones. A stream is in at most one of the two."""
        self._packed: dict[Stream, bytes] = {}
        """Whole frames, which leave with the next batch; the buffers of their streams are empty meanwhile."""
        self.packed_bytes = 0
        """Of all packed frames, with their headers."""
        self.others = False
        """Something other than packed frames may be queued. False: certainly nothing is."""
        self.buffered = 0
        """Bytes in all send buffers, without what is packed."""
        self.closed: list[Stream] = []
        """Streams that closed with the FIN just sent; the session removes them from its table."""
        self.drained: dict[int, None] = {}
        """Ids of streams that were full and no longer are, in order; removed with their stream."""

    def __bool__(self) -> bool:
        return bool(self._packed) or (self.others and self._has_others())

    @property
    def answer_bytes(self) -> int:
        """Of the queued answers, which a flood of pings or opens makes grow."""
        return len(self._answers)

    @property
    def unsent_bytes(self) -> int:
        """Data of all streams that waits to be sent."""
        return self.buffered + self.packed_bytes - HEADER_BYTES * len(self._packed)

    def unsent_bytes_of(self, stream: Stream) -> int:
        """Data of one stream that waits to be sent."""
        frame = self._packed.get(stream)
        return stream.buffer.size if frame is None else len(frame) - HEADER_BYTES

    @property
    def reset_count(self) -> int:
        """Streams whose RST has not been sent."""
        return len(self._resets)

    def answer(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        """Queue a control frame as it is."""
        self.others = True
        self._answers += encode_header(kind, flags, stream_id, length)

    def update(self, stream: Stream) -> None:
        """The stream has an ACK or credit to send."""
        self.others = True
        self._updates[stream.id] = stream

    def cancel_update(self, stream: Stream) -> None:
        """The peer no longer needs credit; it may still need an ACK."""
        if not stream.ack_due:
            self._updates.pop(stream.id, None)

    def start(self, stream: Stream) -> None:
        """The stream may send its SYN: give it a turn."""
        self._queue(stream)

    def ready(self, stream: Stream) -> None:
        """Give the stream a turn, after all others of its length, if it has something to send and no turn yet."""
        if stream.wants_turn:
            self._queue(stream)

    def _queue(self, stream: Stream) -> None:
        """Give the stream a turn, unless it has one among those of its length; a long one never becomes short here."""
        self.others = True
        stream_id = stream.id
        if stream.buffer.size > SHORT_BYTES:
            self._short.pop(stream_id, None)
            self._ready[stream_id] = stream
        elif stream_id not in self._ready:
            self._short[stream_id] = stream

    def pack(self, stream: Stream, data: bytes | bytearray | memoryview) -> bool:
        """Make a short piece of a settled stream a frame at once. False: nothing was done, so `append` it.

        It overtakes nobody, because no stream waits for a turn; so nothing of this stream is in its buffer either.
        """
        size = len(data)
        packed = self._packed
        if (
            size > self._piece_bytes
            or size > stream.credit
            or self._ready
            or self._short
            or stream in packed
            or not size
        ):
            return False
        packed_bytes = self.packed_bytes + HEADER_BYTES + size
        if packed_bytes > _PACKED_BYTES:
            return False
        stream.credit -= size
        packed[stream] = _pack_plain(stream.id, size) + data
        self.packed_bytes = packed_bytes
        return True

    def append(self, stream: Stream, data: bytes) -> None:
        """Queue data of a stream, which must not be empty, for its turn."""
        if stream in self._packed:
            self._unpack(stream)  # so that both pieces leave in one frame
        stream.keep(data)
        self.buffered += len(data)
        if stream.state is QUEUED:
            if stream.id in self._short:
                self._queue(stream)  # it may be a long one now
        elif stream.credit > 0:
            self._queue(stream)

    def end(self, stream: Stream) -> None:
        """A FIN follows what is buffered; the stream is no longer reported as drained."""
        stream.ending = True
        stream.settled = stream.full = False
        self.drained.pop(stream.id, None)
        self.ready(stream)

    def forget(self, stream: Stream) -> None:
        """The stream is over: drop everything that it has queued."""
        self._updates.pop(stream.id, None)
        self._short.pop(stream.id, None)
        self._ready.pop(stream.id, None)
        self.drained.pop(stream.id, None)
        if stream in self._packed:
            self._unpack(stream)
        self.buffered -= stream.buffer.size
        stream.buffer = EMPTY

    def reset(self, stream: Stream, code: int = 0) -> None:
        """Drop everything that the stream has queued, and queue its RST."""
        self.forget(stream)
        self.others = True
        self._resets.append((stream.id, code))

    def clear(self) -> None:
        """Drop everything of every stream."""
        for queue in (self._answers, self._resets, self._updates, self._packed, self.drained):
            queue.clear()
        self._short.clear()
        self._ready.clear()
        self.buffered = self.packed_bytes = 0

    def take_packed(self) -> bytes:
        """All packed frames, at most `BATCH_BYTES`: the next batch, where nothing else is queued (`others`)."""
        packed = self._packed
        batch = b"".join(packed.values())
        packed.clear()
        self.packed_bytes = 0
        return batch

    def take(self, limit: int, frame_bytes: int) -> Batch:
        """The next batch: whole frames, at most `limit` bytes; while several wait, `frame_bytes` of data at a time."""
        packed = self._packed
        if not self.others and self.packed_bytes <= limit:
            return self.take_packed()
        if limit < HEADER_BYTES:
            return b""
        parts: list[bytes | memoryview] = []
        room = limit
        if self._answers or self._resets or self._updates:
            room = self._take_control(parts, room)
        if packed:
            room = self._take_packed(parts, room)
        short, ready = self._short, self._ready
        if short and ready:
            room = self._take_turns(short, parts, room, frame_bytes, until=limit // 2)
        if ready:
            room = self._take_turns(ready, parts, room, frame_bytes)
        if short and not ready:
            room = self._take_turns(short, parts, room, frame_bytes)
        self.others = self._has_others()
        return batch_of(parts, limit - room)

    def _has_others(self) -> bool:
        return bool(self._ready or self._short or self._updates or self._answers or self._resets)

    def _take_turns(
        self,
        streams: OrderedDict[int, Stream],
        parts: list[bytes | memoryview],
        room: int,
        frame_bytes: int,
        until: int = HEADER_BYTES - 1,
    ) -> int:
        """A frame of each in turn, while there is more room than `until`. Returns the room that is left."""
        while streams and room > until:
            stream_id, stream = streams.popitem(last=False)
            most = frame_bytes if streams else self._lone_frame_bytes
            written = self._take_turn(stream, parts, room, most)
            if written == 0:
                streams[stream_id] = stream
                streams.move_to_end(stream_id, last=False)
                break
            room -= written
            if (stream.buffer.size or stream.ending) and stream.wants_turn:
                streams[stream_id] = stream
        return room

    def _take_packed(self, parts: list[bytes | memoryview], room: int) -> int:
        """All packed frames, where they fit; else they wait for turns, before all others, and may be cut."""
        packed = self._packed
        size = self.packed_bytes
        if size > room:
            for stream in reversed(list(packed)):
                self._unpack(stream)
                self._short[stream.id] = stream
                self._short.move_to_end(stream.id, last=False)
            return room
        parts += packed.values()
        packed.clear()
        self.packed_bytes = 0
        return room - size

    def _unpack(self, stream: Stream) -> None:
        """Turn a packed frame back into data in the stream's buffer."""
        frame = self._packed.pop(stream)
        self.packed_bytes -= len(frame)
        size = len(frame) - HEADER_BYTES
        stream.credit += size
        stream.keep(frame[HEADER_BYTES:])
        self.buffered += size

    def _take_control(self, parts: list[bytes | memoryview], room: int) -> int:
        if self._answers:
            size = min(len(self._answers), room - room % HEADER_BYTES)
            parts.append(bytes(self._answers[:size]))
            del self._answers[:size]
            room -= size
        while self._resets and room >= HEADER_BYTES:
            stream_id, code = self._resets.popleft()
            parts.append(encode_header(WINDOW_UPDATE, RST, stream_id, code))
            room -= HEADER_BYTES
        while self._updates and room >= HEADER_BYTES:
            stream_id, stream = self._updates.popitem(last=False)
            credit = stream.window.take_due()
            if credit or stream.ack_due:
                flags = self._opening_flags(stream) if stream.ack_due else 0
                parts.append(encode_header(WINDOW_UPDATE, flags, stream_id, credit))
                room -= HEADER_BYTES
        return room

    def _take_turn(self, stream: Stream, parts: list[bytes | memoryview], room: int, most: int) -> int:
        """Write one frame of the stream, and a FIN after its last data; 0 if the room is too small."""
        size = min(stream.buffer.size, stream.credit, most)
        written = 0
        if size:
            fits = room - HEADER_BYTES
            if fits < size:
                if fits < 1 or (parts and fits < _SLIVER_BYTES):
                    return 0
                size = fits
            flags = self._opening_flags(stream) if stream.state is QUEUED or stream.ack_due else 0
            parts.append(_pack(VERSION, DATA, flags, stream.id, size))
            stream.take(size, parts)
            stream.credit -= size
            self.buffered -= size
            if stream.full and stream.buffer.size <= self._low_mark:
                stream.full = False
                self.drained[stream.id] = None
            written = HEADER_BYTES + size
        elif stream.state is QUEUED:
            parts.append(encode_header(WINDOW_UPDATE, self._opening_flags(stream), stream.id, 0))
            written = HEADER_BYTES
        if stream.ending and not stream.buffer.size and room - written >= HEADER_BYTES:
            parts.append(encode_header(WINDOW_UPDATE, FIN | self._opening_flags(stream), stream.id, 0))
            written += HEADER_BYTES
            stream.move(Move.FIN_SENT)
            if stream.state is CLOSED:
                self.closed.append(stream)
        return written

    @staticmethod
    def _opening_flags(stream: Stream) -> int:
        """Flags for the stream's first frame: SYN from the opener, ACK from the other side."""
        stream.settled = not stream.ending
        if stream.state is QUEUED:
            stream.move(Move.SYN_SENT)
            return SYN
        if stream.ack_due:
            stream.ack_due = False
            return ACK
        return 0

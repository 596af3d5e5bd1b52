"""One direction of a spliced WebSocket: what passes, what is counted, and how it ends.

    state      may become        because
    FLOWS      CLOSED            a close frame of the peer passed; one of ours went in at a border
    FLOWS      ENDING            we close it, inside a frame
    ENDING     CLOSED            the frame has ended, and our close went in behind it

CLOSED is final: nothing passes any more, but what comes is still read for the peer's close.
"""

import time
from collections import deque
from enum import Enum

from tunnel.websocket import LOOK, Closed, Failed, FrameScanner, Scanned

from .passage import Passage

_MARKS = 64
"""Messages that wait for their receiver and are timed each by itself."""
_PART_BYTES = 64 * 1024
"""Of what waits so much is read at once, and the piece that crosses it: what follows is not copied in each turn."""


class WayState(Enum):
    """Where a direction is; the module's table says what may follow."""

    FLOWS = "what comes passes"
    ENDING = "the open frame passes, then our close"
    CLOSED = "nothing passes any more"


FLOWS, ENDING, CLOSED = WayState


class Way:
    """See the module. It writes nothing: the splice does, and says so."""

    __slots__ = (
        "_marks", "_pieces", "close_frame", "end", "ending_since", "has_turn", "passage", "rest_bytes", "scanner",
        "state",
    )  # fmt: skip

    def __init__(self, scanner: FrameScanner, passage: Passage) -> None:
        self.scanner = scanner
        self.passage = passage
        self.state = FLOWS
        self.end: Closed | Failed | None = None
        """The peer's close, or what it did wrong: nothing is read after it."""
        self.rest_bytes = 0
        """What came and waits for a later turn, or until the receiver reads again."""
        self._pieces: deque[bytes] | None = None  # these bytes
        self.has_turn = False
        """A later turn is due, in which more of it is read."""
        self.close_frame = b""
        """Ours, while ENDING."""
        self.ending_since = 0.0
        self._marks: list[tuple[int, float]] | None = None  # sizes and arrivals of what the receiver has not taken

    @property
    def is_blocked(self) -> bool:
        """The receiver does not read."""
        return self.passage.blocked_since is not None

    @property
    def is_at_rest(self) -> bool:
        """There is nothing to remember: another way might go on in its place."""
        is_idle = self.state is FLOWS and self.end is None and not self.rest_bytes and not self.has_turn
        return is_idle and self.scanner.is_plain and self._marks is None and self.passage.is_at_rest

    @property
    def may_insert(self) -> bool:
        """Whether a ping of ours may go in now."""
        return self.state is FLOWS and not self.scanner.left and not self.is_blocked

    def glance(self, data: bytes) -> int:
        """See `FrameScanner.glance`. LOOK, too, where not all that comes passes at once."""
        if self.rest_bytes or self.state is not FLOWS:
            return LOOK
        return self.scanner.glance(data)

    def keep(self, data: bytes) -> None:
        """Let it wait, behind what waits already."""
        if self._pieces is None:
            self._pieces = deque()
        self._pieces.append(data)
        self.rest_bytes += len(data)

    def keep_first(self, data: bytes) -> None:
        """Let it wait, before what waits already."""
        if self._pieces is None:
            self._pieces = deque()
        self._pieces.appendleft(data)
        self.rest_bytes += len(data)

    def follow(self) -> Scanned:
        """Read some of what waits; what it returns as passed is to be written."""
        data = self._next_part()
        found = self._read(data)
        if found.rest:
            self.keep_first(found.rest)
        if self.end is not None:
            self._drop_rest()
        return found

    def _read(self, data: bytes) -> Scanned:
        scanner = self.scanner
        if self.state is ENDING:
            return scanner.finish_frame(data)
        if self.end is not None or not data:
            return Scanned(b"", [], None, b"")
        found = scanner.scan(data)
        self.end = found.end
        if self.state is CLOSED:
            return Scanned(b"", [], found.end, found.rest)
        if isinstance(found.end, Closed):
            self.state = CLOSED
        return found

    def _next_part(self) -> bytes:
        pieces = self._pieces
        if pieces is None:
            return b""
        part = [pieces.popleft()]
        size = len(part[0])
        while pieces and size < _PART_BYTES:
            part.append(pieces.popleft())
            size += len(part[-1])
        self.rest_bytes -= size
        if not pieces:
            self._pieces = None
        return part[0] if len(part) == 1 else b"".join(part)

    def _drop_rest(self) -> None:
        self._pieces = None
        self.rest_bytes = 0

    def may_close(self, frame: bytes) -> bool:
        """Whether our close may go in now, and the direction is closed then. If it may not, it is to wait for that.

        False, too, where the direction has its close.
        """
        if self.state is not FLOWS:
            return False
        if self.scanner.left:
            self.state, self.close_frame, self.ending_since = ENDING, frame, time.monotonic()
            return False
        self._close()
        return True

    def due_close(self) -> bytes:
        """Our close, once the open frame has ended; to be written. Else nothing."""
        if self.state is not ENDING or self.scanner.left:
            return b""
        frame = self.close_frame
        self._close()
        return frame

    def shut(self) -> None:
        """Nothing can pass any more, and nobody is waited for: the receiver is gone; idempotent.

        What the receiver has not taken is not counted. What comes, and what waits, is still read for a close.
        """
        self._close()
        self._marks = None
        self.passage.unblock()

    def drop(self) -> None:
        """Nothing is read any more; idempotent."""
        self.shut()
        self._drop_rest()

    def _close(self) -> None:
        self.state, self.close_frame = CLOSED, b""
        self.scanner.look_for_close()

    def count(self, sizes: list[int], arrived: float) -> None:
        """Count messages that were written, now or once the receiver takes them.

        Of a direction that waits the first 64 are timed; the others count as having waited as long as it has.
        """
        passage = self.passage
        since = passage.blocked_since
        if since is None:
            for size in sizes:
                passage.passed(size, arrived, arrived)
            return
        marks = self._marks = self._marks or []
        for size in sizes:
            if len(marks) < _MARKS:
                marks.append((size, arrived))
            else:
                passage.passed(size, since, arrived)

    def unblock(self) -> None:
        """The receiver reads again, and has taken what was written."""
        self.passage.unblock()
        marks, self._marks = self._marks, None
        if marks:
            self.passage.all_passed(marks)

    def __repr__(self) -> str:
        return f"<Way {self.state.name.lower()}{', blocked' if self.is_blocked else ''}, {self.scanner!r}>"

"""The client's end of a spliced WebSocket, played by hand: takes bytes, brings bytes, and says what was asked of it."""

from collections import deque
from collections.abc import Callable

from app.public.client_port import SplicedListener


class FakeSplicedClient:
    """A `SplicedClient`. While it has no `room`, it takes what it is given and has drained nothing.

    What it `brings` while it is not read waits, and comes with `flow`. `is_sudden`: a connection that is hung up or cut
    is lost within the call, not in a later turn.
    """

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = log if log is not None else []
        self.written = b""
        self.writes = 0
        self.room = True
        self.reading = True
        self.ended = ""
        self.unsent_bytes = 0
        self.steps: deque[Callable[[], None]] = deque()
        self.unread: deque[bytes] = deque()
        self.listener: SplicedListener | None = None
        self.is_sudden = False
        self.lost = False
        self._waits = False

    # --- told by the splice

    def start(self, listener: SplicedListener, /) -> None:
        self.log.append("start")
        self.listener = listener

    def leave(self) -> None:
        self.log.append("leave")
        self.listener = None

    def write(self, data: bytes, /) -> bool:
        assert data
        if self.ended:
            return True
        self.written += data
        self.writes += 1
        if self.room:
            return True
        self.unsent_bytes += len(data)
        self._waits = True
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def later(self, step: Callable[[], None], /) -> None:
        self.steps.append(step)

    def hang_up(self) -> None:
        self._end("hang up")

    def abort(self) -> None:
        self._end("abort")

    def _end(self, how: str) -> None:
        if not self.ended or (how == "abort" and self.ended == "hang up"):
            self.ended = how
            self.log.append(how)
        if self.is_sudden:
            self.vanish()

    # --- told by the test

    def bring(self, *pieces: bytes) -> None:
        self.unread.extend(pieces)
        self.flow()

    def flow(self) -> None:
        """As much as is read of what came."""
        while self.reading and self.unread and not self.ended and not self.lost:
            piece = self.unread.popleft()
            if self.listener is not None:
                self.listener.bytes_received(piece)

    def drain(self, *, room: bool = True) -> None:
        """The far end reads all. Without `room` the next write fills its buffer again."""
        self.room = room
        self.unsent_bytes = 0
        if self._waits and self.listener is not None:
            self._waits = False
            self.listener.client_writable()

    def turn(self) -> int:
        """One turn: the steps that are due. Returns how many there were."""
        due = len(self.steps)
        for _ in range(due):
            self.steps.popleft()()
        return due

    def turns(self) -> int:
        """Turns until nothing is left to do; how many."""
        count = 0
        while self.turn():
            count += 1
        return count

    def vanish(self) -> None:
        """The connection is gone; idempotent."""
        self.lost = True
        if self.listener is not None:
            self.listener.client_left(1006, "")

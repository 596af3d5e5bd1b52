"""How much of the uploads of one link may be on its way: the agents of these dialects give no credit, so we ask.

The existing agent writes an upload's chunks to the service within its only read loop: a slow service delays all else
that we send to that agent, and what is already on the wire cannot be taken back. But it answers our pings in that
same loop, in order: a pong says that every chunk before its ping was taken. So a ping follows every `MARK_BYTES`,
and at most `WINDOW_BYTES` are sent beyond the last pong that came.

An agent that answers no pings (it may: none has to) gets a window about twice a second. Has no clock, sends nothing.
"""

from collections import deque

from tunnel.wire import messages

WINDOW_BYTES = 256 * 1024
"""5 MB/s over 50 ms of round trip; another exchange's message waits behind no more than this."""

MARK_BYTES = WINDOW_BYTES // 4

_TIMED_SECONDS = 0.5
"""For agents that never answered a mark: 512 KiB/s."""

_STUCK_SECONDS = 60.0
"""An agent that always answered and now does not is blocked by a service; the door gives such an upload up."""

_PREFIX = "upload-"


class Window:
    """The uploads of one link, together."""

    def __init__(self) -> None:
        self._marks: deque[tuple[str, int]] = deque()  # of each ping the bytes before it, back to the one before
        self._unmarked = 0
        self._in_flight = 0
        self._number = 0
        self._answered = False
        self._moved_at = 0.0

    @property
    def open(self) -> bool:
        """Whether a chunk may leave."""
        return self._in_flight < WINDOW_BYTES

    def sent(self, size: int, now: float) -> str | None:
        """A chunk leaves; the ping that is to follow it, if one is due."""
        if not self._in_flight:
            self._moved_at = now
        self._in_flight += size
        self._unmarked += size
        if self._unmarked < MARK_BYTES:
            return None
        self._number += 1
        mark = f"{_PREFIX}{self._number}"
        self._marks.append((mark, self._unmarked))
        self._unmarked = 0
        return messages.encode("ping", messages.Notice(), mark)

    def pong_received(self, request_id: str | None, now: float) -> bool:
        """A pong; True when the window moved."""
        if request_id is None or all(mark != request_id for mark, _ in self._marks):
            return False
        self._answered = True
        self._moved_at = now
        while self._marks:
            mark, size = self._marks.popleft()
            self._in_flight -= size
            if mark == request_id:
                break
        return True

    def tick(self, now: float) -> bool:
        """Open it for an agent that does not answer; True when it did."""
        if self.open or now - self._moved_at < (_STUCK_SECONDS if self._answered else _TIMED_SECONDS):
            return False
        self.reset()
        return True

    def reset(self) -> None:
        """No upload is under way any more, or the agent does not answer."""
        self._marks.clear()
        self._unmarked = self._in_flight = 0

    def __repr__(self) -> str:
        return f"<Window {self._in_flight} of {WINDOW_BYTES} bytes on their way>"

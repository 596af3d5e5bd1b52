"""How much of one link's uploads may be on its way. Agents of these dialects give no credit, so we ask for it.

The existing agent writes an upload's chunks to the service inside its only read loop. A slow service therefore delays
everything else that we send to that agent, and what is already on the wire cannot be taken back. The agent answers our
pings in the same loop, in order, so a pong says that every chunk before its ping was taken. We send a ping after every
`MARK_BYTES`, and at most `WINDOW_BYTES` beyond the last pong (tunnel/PROTOCOL.md section 5, "Requests").

An agent need not answer pings. One that never does gets a new window about twice a second.

Sends nothing and has no clock: time is passed in.
"""

from collections import deque

from tunnel.wire import messages

WINDOW_BYTES = 256 * 1024
"""5 MB/s over a round trip of 50 ms. Another exchange's message waits behind at most this much."""

MARK_BYTES = WINDOW_BYTES // 4

_TIMED_SECONDS = 0.5
"""For agents that never answered a ping: 512 KiB/s."""

_STUCK_SECONDS = 60.0
"""An agent that used to answer and stopped is blocked by a service. By now the door has given up on that upload."""

_PREFIX = "upload-"


class UploadWindow:
    """The window of one link, shared by all its uploads."""

    def __init__(self) -> None:
        self._marks: deque[tuple[str, int]] = deque()  # each ping, with the bytes between it and the ping before
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
        """A chunk of this size leaves. Returns the ping that must follow it, if one is due."""
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
        """A pong arrived. True when it moved the window."""
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
        """Open the window for an agent that does not answer. True when it did."""
        if self.open or now - self._moved_at < (_STUCK_SECONDS if self._answered else _TIMED_SECONDS):
            return False
        self.reopen()
        return True

    def reopen(self) -> None:
        """Forget what is in flight: no upload is running, or the agent does not answer."""
        self._marks.clear()
        self._unmarked = self._in_flight = 0

    def __repr__(self) -> str:
        return f"<UploadWindow {self._in_flight} of {WINDOW_BYTES} bytes in flight>"

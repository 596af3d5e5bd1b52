"""Messages that wait to leave on one link: control messages first, then the exchanges' messages in turn.

Each exchange has a lane. Its messages leave in order, one per turn, so no exchange waits for another's backlog. A lane
may be paced (a minimum time between two of its messages). Chunks of an upload leave only while the `UploadWindow` is
open. Never waits, never encodes, and has no clock: time is passed in.

Invariants: every queued character is counted in the account until it has left or was dropped. A lane's `drained` is
called once after each `put` that returned False, unless the lane was dropped first.
"""

from collections import deque
from collections.abc import Callable

from tunnel.account import Account, Holding
from tunnel.gateway.proxied.upload_window import UploadWindow
from tunnel.wire.message_limits import NO_LIMIT_BYTES

HIGH_BYTES = 256 * 1024
"""A lane above this takes no more from its door: eight chunks of an upload, or the first window of a yamux stream."""

LOW_BYTES = HIGH_BYTES // 2


def nothing() -> None:
    """The `drained` of a lane whose owner does not need to know."""


class Lane:
    """One exchange's messages that wait to leave."""

    __slots__ = ("drained", "due", "full", "interval_seconds", "last_sent", "messages", "queued_bytes", "sent")

    def __init__(self, drained: Callable[[], None] = nothing, *, interval_seconds: float = 0.0) -> None:
        self.drained = drained
        self.interval_seconds = interval_seconds
        self.due = 0.0
        self.last_sent = 0.0
        """When the last message left; 0 if none did."""
        self.sent = 0
        """How many messages left."""
        self.queued_bytes = 0
        self.full = False
        """Went above the high mark and has not yet come down to the low one."""
        self.messages: deque[tuple[str, int]] = deque()
        """Each with the number of upload bytes it carries. Only `Lanes` changes it."""

    @property
    def empty(self) -> bool:
        """Whether every message has left."""
        return not self.queued_bytes

    def __repr__(self) -> str:
        return f"<Lane {self.sent} sent, {self.queued_bytes} bytes waiting>"


class Lanes:
    """The queues of one link."""

    def __init__(self, account: Account, window: UploadWindow, limit_bytes: int = NO_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        """The largest message that the agent accepts. Who queues one checks it."""
        self._window = window
        self._urgent: deque[tuple[Lane | None, str]] = deque()
        self._turns: deque[Lane] = deque()  # lanes with messages, each once
        self._holding = Holding(account)

    @property
    def queued_bytes(self) -> int:
        """Everything that waits to leave on this link."""
        return self._holding.size_bytes

    def put_control(self, text: str) -> None:
        """Queue a small message that belongs to no lane, ahead of the lanes."""
        self._urgent.append((None, text))
        self._holding.add(len(text))

    def put(self, lane: Lane, text: str, *, upload_bytes: int = 0) -> bool:
        """Queue a message of a lane. False when the lane is now above its mark.

        `upload_bytes`: how many bytes of an upload the message carries; the window then decides when it leaves.
        """
        if not lane.messages:
            self._turns.append(lane)
        lane.messages.append((text, upload_bytes))
        self._queued(lane, len(text))
        lane.full = lane.full or lane.queued_bytes > HIGH_BYTES
        return not lane.full

    def put_first(self, lane: Lane, text: str) -> None:
        """Queue a lane's first message with the control messages: it is small, and a client waits for the answer."""
        self._urgent.append((lane, text))
        self._queued(lane, len(text))

    def drop(self, lane: Lane) -> None:
        """Discard what waits in a lane, and tell its owner nothing more. Idempotent."""
        lane.drained = nothing
        lane.full = False
        if not lane.queued_bytes:
            return
        if lane.messages:
            self._turns.remove(lane)
            lane.messages.clear()
        self._urgent = deque(item for item in self._urgent if item[0] is not lane)
        self._queued(lane, -lane.queued_bytes)

    def close(self) -> None:
        """Discard everything: the link is lost. Idempotent."""
        for lane in {lane for lane, _ in self._urgent if lane is not None} | set(self._turns):
            self.drop(lane)
        self._urgent.clear()
        self._holding.close()

    def next(self, now: float) -> str | None:
        """The message to send next. None when there is none, or none that may leave yet."""
        if self._urgent:
            first, text = self._urgent.popleft()
            if first is None:
                self._holding.add(-len(text))
            else:
                self._left(first, text, now)
            return text
        for _ in range(len(self._turns)):
            lane = self._turns.popleft()
            text, upload_bytes = lane.messages[0]
            if lane.due > now or (upload_bytes and not self._window.open):
                self._turns.append(lane)
                continue
            lane.messages.popleft()
            if lane.messages:
                self._turns.append(lane)
            lane.due = now + lane.interval_seconds
            if upload_bytes and (mark := self._window.sent(upload_bytes, now)) is not None:
                self.put_control(mark)
            self._left(lane, text, now)
            return text
        return None

    def due(self) -> float | None:
        """When the first paced lane may send again. None when no lane waits for the time."""
        return min((lane.due for lane in self._turns if lane.due and not lane.messages[0][1]), default=None)

    def _left(self, lane: Lane, text: str, now: float) -> None:
        lane.sent += 1
        lane.last_sent = now
        self._queued(lane, -len(text))
        if lane.full and lane.queued_bytes <= LOW_BYTES:
            lane.full = False
            lane.drained()

    def _queued(self, lane: Lane, delta_bytes: int) -> None:
        lane.queued_bytes += delta_bytes
        self._holding.add(delta_bytes)

    def __repr__(self) -> str:
        return f"<Lanes of {len(self._turns)} exchanges, {self.queued_bytes} bytes waiting>"

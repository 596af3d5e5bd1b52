"""What waits to leave on one link: control and small first messages, then the exchanges' messages in turns.

An exchange has a lane. Its messages leave in their order, one in each turn, so no exchange waits for another's
backlog. A lane may be paced (a shortest time between two of its messages); messages of an upload are metered: they
leave only while the `Window` is open. Never waits, never encodes, and has no clock: time is passed in.

Invariants: every queued character is counted in the account until it left or was dropped; a lane's `drained` is
called once after each `put` that returned False, unless the lane was dropped before.
"""

from collections import deque
from collections.abc import Callable

from tunnel.account import Account
from tunnel.gateway.proxied.window import Window

HIGH_BYTES = 256 * 1024
"""A lane above this takes no more of its door: eight chunks of an upload, or what a yamux stream may send at first."""

LOW_BYTES = HIGH_BYTES // 2


def nothing() -> None:
    """For lanes whose owner does not care."""


class Lane:
    """One exchange's messages that wait to leave."""

    __slots__ = ("drained", "due", "full", "interval_seconds", "last_sent", "messages", "queued_bytes", "sent")

    def __init__(self, drained: Callable[[], None] = nothing, *, interval_seconds: float = 0.0) -> None:
        self.drained = drained
        self.interval_seconds = interval_seconds
        self.due = 0.0
        self.last_sent = 0.0
        """When a message last left; 0: none did."""
        self.sent = 0
        """Messages that left."""
        self.queued_bytes = 0
        self.full = False
        """Above its mark, and not yet below the low one."""
        self.messages: deque[tuple[str, int]] = deque()
        """Each with the bytes of an upload that it carries; the outbox's to change."""

    @property
    def empty(self) -> bool:
        """Whether all that was put has left."""
        return not self.queued_bytes

    def __repr__(self) -> str:
        return f"<Lane {self.sent} sent, {self.queued_bytes} bytes waiting>"


class Outbox:
    """The queues of one link."""

    def __init__(self, account: Account, window: Window) -> None:
        self._account = account
        self._window = window
        self._urgent: deque[tuple[Lane | None, str]] = deque()
        self._turns: deque[Lane] = deque()  # lanes with messages, each once
        self.queued_bytes = 0

    def put_control(self, text: str) -> None:
        """A small message of no lane, ahead of the lanes."""
        self._urgent.append((None, text))
        self._count(len(text))

    def put(self, lane: Lane, text: str, *, upload_bytes: int = 0) -> bool:
        """Queue a message of a lane; False when the lane is above its mark.

        `upload_bytes`: it is metered, and carries so many bytes of an upload.
        """
        if not lane.messages:
            self._turns.append(lane)
        lane.messages.append((text, upload_bytes))
        self._queued(lane, len(text))
        lane.full = lane.full or lane.queued_bytes > HIGH_BYTES
        return not lane.full

    def put_first(self, lane: Lane, text: str) -> None:
        """Queue the first message of a lane with the control messages: small, and somebody waits for its answer."""
        self._urgent.append((lane, text))
        self._queued(lane, len(text))

    def drop(self, lane: Lane) -> None:
        """Forget what waits in a lane, and its owner; idempotent."""
        lane.drained = nothing
        lane.full = False
        if not lane.queued_bytes:
            return
        if lane.messages:
            self._turns.remove(lane)
            lane.messages.clear()
        self._urgent = deque(item for item in self._urgent if item[0] is not lane)
        self._queued(lane, -lane.queued_bytes)

    def clear(self) -> None:
        """Forget everything."""
        for lane in {lane for lane, _ in self._urgent if lane is not None} | set(self._turns):
            self.drop(lane)
        self._urgent.clear()
        self._count(-self.queued_bytes)

    def next(self, now: float) -> str | None:
        """The message to send next; None when there is none, or none that may leave yet."""
        if self._urgent:
            first, text = self._urgent.popleft()
            if first is None:
                self._count(-len(text))
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
        """When the first paced lane may go on; None: nobody waits for the time."""
        return min((lane.due for lane in self._turns if lane.due and not lane.messages[0][1]), default=None)

    def _left(self, lane: Lane, text: str, now: float) -> None:
        lane.sent += 1
        lane.last_sent = now
        self._queued(lane, -len(text))
        if lane.full and lane.queued_bytes <= LOW_BYTES:
            lane.full = False
            lane.drained()

    def _queued(self, lane: Lane, delta: int) -> None:
        lane.queued_bytes += delta
        self._count(delta)

    def _count(self, delta: int) -> None:
        self.queued_bytes += delta
        self._account.adjust(delta)

    def __repr__(self) -> str:
        return f"<Outbox {self.queued_bytes} bytes waiting in {len(self._turns)} lanes>"

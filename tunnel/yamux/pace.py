"""How much leaves at once on one link: less where the link is slow, so that small things do not wait long behind it.

What was handed to the transport can no longer be overtaken. At 8 Mbit/s a batch of 64 KiB is 65 ms of the line, one of
16 KiB is 16. A link is slow while its transport stays full for longer than `_BATCH_SECONDS` after a batch; how large
the next batch may be follows from how long the last one took. A link that takes batches at once gets larger ones
again. The time is passed in.
"""

from typing import Final

from tunnel.yamux.batch import BATCH_BYTES

SMALLEST_BATCH_BYTES: Final = 16_384
_LEAST_FRAME_BYTES: Final = 4096
_BATCH_SECONDS: Final = 0.016
"""What a batch may take: the smallest one at 8 Mbit/s."""
_FRAMES: Final = 4
"""So many streams share a batch, where as many send."""
_EVIDENCE_BYTES: Final = SMALLEST_BATCH_BYTES // 2
"""A smaller batch says nothing: most of what it waited for was sent before it."""


class Pace:
    """The size of the next batch."""

    __slots__ = ("_blocked_at", "_blocked_bytes", "batch_bytes", "frame_bytes", "most_bytes")

    def __init__(self) -> None:
        self.most_bytes = BATCH_BYTES
        """Of any batch."""
        self.batch_bytes = BATCH_BYTES
        self.frame_bytes = BATCH_BYTES // _FRAMES
        """For each of several streams; one that is alone may fill the batch."""
        self._blocked_bytes = 0
        self._blocked_at = 0.0

    def keep_to(self, most_bytes: int) -> None:
        """The peer accepts no longer messages."""
        self.most_bytes = min(most_bytes, BATCH_BYTES)
        self._allow(self.batch_bytes)

    def blocked(self, size_bytes: int, now: float) -> None:
        """The transport did not take all of this batch."""
        self._blocked_bytes = size_bytes
        self._blocked_at = now

    @property
    def is_blocked(self) -> bool:
        """The transport is full."""
        return self._blocked_bytes > 0

    def drained(self, now: float) -> None:
        """The transport has taken everything."""
        size_bytes, self._blocked_bytes = self._blocked_bytes, 0
        if size_bytes >= _EVIDENCE_BYTES:
            seconds = now - self._blocked_at
            self._allow(int(size_bytes * _BATCH_SECONDS / seconds) if seconds > 0 else self.most_bytes)

    def taken(self, size_bytes: int) -> None:
        """The transport took this batch at once."""
        if size_bytes >= _EVIDENCE_BYTES and self.batch_bytes < self.most_bytes:
            self._allow(2 * self.batch_bytes)

    def _allow(self, size_bytes: int) -> None:
        self.batch_bytes = batch_bytes = min(max(size_bytes, SMALLEST_BATCH_BYTES), self.most_bytes)
        self.frame_bytes = max(batch_bytes // _FRAMES, _LEAST_FRAME_BYTES)

    def __repr__(self) -> str:
        return f"<Pace {self.batch_bytes} bytes a batch>"

"""A batch that is written in parts: joining 64 KiB would copy them once more.

Whoever writes it gives the pieces to one `writelines`, or joins them with `bytes` where each write costs a record of
its own (TLS) or a message is wanted whole. Small batches are `bytes` from the start: copying them costs less than
another part.
"""

from collections.abc import Sequence
from typing import Final, final

BATCH_BYTES: Final = 65_500
"""The most of one batch: a larger one costs page faults (measured at 256 KiB), a smaller one system calls. Up to
65,535 a WebSocket frame says its length in 16 bits."""
JOIN_BELOW_BYTES: Final = 16_384
"""A smaller batch is joined."""
PARTS: Final = 16
"""A batch of more parts is joined: each part is another entry of the system call's list."""


@final
class Parts:
    """Whole frames, in order; like `bytes`, it has a length and is never empty. Nobody changes it."""

    __slots__ = ("pieces", "size_bytes")

    def __init__(self, pieces: Sequence[bytes | memoryview], size_bytes: int) -> None:
        self.pieces = pieces
        self.size_bytes = size_bytes
        """Of all pieces together."""

    def __len__(self) -> int:
        return self.size_bytes

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    def __repr__(self) -> str:
        return f"<Parts {self.size_bytes} bytes in {len(self.pieces)}>"


Batch = bytes | Parts


def batch_of(pieces: Sequence[bytes | memoryview], size_bytes: int) -> Batch:
    """The batch that these make: joined where that is cheaper."""
    if size_bytes < JOIN_BELOW_BYTES or len(pieces) > PARTS:
        return b"".join(pieces)
    return Parts(pieces, size_bytes)

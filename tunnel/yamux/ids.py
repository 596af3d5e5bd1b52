"""Stream ids: our next one, and which of the peer's were used.

The client's ids are odd, the server's are even; 0 is the session. An id is used once. hashicorp takes an id before it
queues the SYN, so two of its goroutines may send their SYNs in the wrong order. So skipped ids stay valid, the latest
`_SKIPPED` of them; this bounds them, whatever the peer skips.
"""

from enum import Enum

from tunnel.yamux.errors import DuplicateStream, InvalidStreamId, StreamIdsExhausted

_LAST = 0xFFFF_FFFE
"""As in hashicorp's: ids from here on are not opened."""
_SKIPPED = 256
"""As many SYNs as hashicorp has in flight (its accept backlog)."""


class Role(Enum):
    """Which end of the session this is. It only decides whose ids are odd."""

    CLIENT = "client"
    SERVER = "server"


class StreamIds:
    """The ids of both sides of one session."""

    __slots__ = ("_highest", "_next", "_parity", "_skipped")

    def __init__(self, role: Role) -> None:
        self._next = 1 if role is Role.CLIENT else 2
        self._parity = self._next & 1
        self._highest = 0 if role is Role.CLIENT else -1
        self._skipped: set[int] = set()

    def next_local(self) -> int:
        """An id for a stream of ours; raises `StreamIdsExhausted`."""
        if self._next >= _LAST:
            raise StreamIdsExhausted("every stream id of this session was used")
        stream_id = self._next
        self._next += 2
        return stream_id

    def use_remote(self, stream_id: int) -> None:
        """The peer opens `stream_id`; raises `InvalidStreamId` or `DuplicateStream`."""
        if stream_id == 0 or stream_id & 1 == self._parity:
            raise InvalidStreamId(f"the peer opened stream {stream_id}")
        if stream_id > self._highest:
            if stream_id > self._highest + 2:
                self._skip(self._highest + 2, stream_id)
            self._highest = stream_id
        elif stream_id in self._skipped:
            self._skipped.remove(stream_id)
        else:
            raise DuplicateStream(f"the peer opened stream {stream_id} again")

    def _skip(self, first: int, stop: int) -> None:
        skipped = self._skipped
        skipped.update(range(max(first, stop - 2 * _SKIPPED), stop, 2))
        if len(skipped) > _SKIPPED:
            self._skipped = set(sorted(skipped)[-_SKIPPED:])

"""One yamux stream as a `ByteStream`: it knows its owner and what it holds, and decides nothing.

After `reset`, and once the stream is lost, its owner is never called again. An owner that fails costs its stream,
never the link. What the owner acknowledges at once, before `deliver` returns, is never counted as held. `deliver` tells
the session about it, which saves the way through the carrier for most answers.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from tunnel.account import Account, Holding
from tunnel.errors import StreamRefusedError, TunnelError
from tunnel.nobody import NO_OWNER
from tunnel.override import override
from tunnel.port import Target
from tunnel.streams import ByteStream
from tunnel.yamux import LocalError, Session

logger = logging.getLogger(__name__)


_UNCOUNTED_BYTES = 16 * 1024
"""Waiting to be sent, and counted only with the next batch or tick: most leave before that."""


class _CarrierOfStreams(Protocol):
    """What a stream asks of its carrier. `YamuxCarrier` documents it."""

    @property
    def session(self) -> Session: ...

    @property
    def unsent(self) -> Holding: ...

    @property
    def wake(self) -> Callable[[], None]: ...

    def end(self, stream: "YamuxStream") -> None: ...

    def reset(self, stream: "YamuxStream") -> None: ...

    @property
    def account(self) -> Account: ...

    def withhold(self, stream: "YamuxStream") -> None: ...

    def credit(self, stream_id: int, size: int) -> None: ...


class YamuxStream(ByteStream):
    """One stream of the session, as a `ByteStream`."""

    __slots__ = (
        "_carrier",
        "_delivered_bytes",
        "_live",
        "_piece_bytes",
        "_session",
        "end_received",
        "end_sent",
        "stream_id",
        "target",
        "unread",
        "withheld_bytes",
    )

    def __init__(self, carrier: _CarrierOfStreams, stream_id: int) -> None:
        self._carrier = carrier
        self._session = carrier.session
        self._live = True
        self._delivered_bytes = 0
        """Of the piece that the owner is looking at, what it has not acknowledged."""
        self._piece_bytes = 0
        """Of that piece, what no credit was given for: the difference is acknowledged, and `deliver` will return it."""
        self.end_sent = False
        self.end_received = False
        self.stream_id = stream_id
        self.target: Target | None = None
        """What it leads to, for log lines."""
        self.owner = NO_OWNER
        self.unread: Holding | None = None
        """Counts what was received and not acknowledged, once the owner has seen it; None where that is nothing."""
        self.withheld_bytes = 0
        """Acknowledged, but not returned to the agent: the process holds too much."""

    @property
    def unread_bytes(self) -> int:
        """What `unread` counts."""
        return self.unread.size_bytes if self.unread is not None else 0

    @property
    @override
    def held_bytes(self) -> int:
        held = self.unread_bytes + self._delivered_bytes
        return held + self._carrier.session.buffered(self.stream_id) if self._live else held

    @override
    def write(self, data: bytes, /) -> bool:
        session, carrier = self._session, self._carrier
        try:
            welcome = session.send_data(self.stream_id, data)
        except LocalError:
            return True  # the stream ended while its owner was writing; the owner was told, or ended it itself
        outbox, unsent = session.outbox, carrier.unsent
        if outbox.buffered + outbox.packed_bytes - unsent.size_bytes > _UNCOUNTED_BYTES:
            unsent.set(outbox.unsent_bytes)
        wake = carrier.wake
        wake()
        return welcome

    @override
    def write_end(self) -> None:
        if self._live and not self.end_sent:
            self.end_sent = True
            self._carrier.end(self)

    @override
    def reset(self) -> None:
        if self._live:
            self._carrier.reset(self)

    @override
    def acknowledge(self, size: int, /) -> None:
        delivered = self._delivered_bytes
        if 0 < size <= delivered:
            self._delivered_bytes = delivered - size
        elif self._live:
            if size > delivered:
                self._count(delivered - size)
                size += self._piece_bytes - delivered
                self._piece_bytes = self._delivered_bytes = 0
            self._give_credit(size)

    def pass_on(self, size: int) -> None:
        """From within `data_received`: so many of these bytes are in another buffer now, which counts them.

        They are not held here any more, and not to be acknowledged; their credit waits for `repay`.
        """
        self._delivered_bytes -= size
        self._piece_bytes -= size

    def repay(self, size: int) -> None:
        """So many of the bytes that were passed on have left that buffer: give credit for them."""
        if self._live:
            self._give_credit(size)

    def deliver(self, data: bytes) -> int:
        """Hand data of the agent to the owner. Returns what to give credit for. Only the session calls this."""
        self._piece_bytes = self._delivered_bytes = len(data)
        try:
            self.owner.data_received(data)
        except Exception:
            logger.exception("stream %d failed in its owner", self.stream_id)
            self.give_up()
        taken = self._piece_bytes
        self._piece_bytes = 0
        if self._delivered_bytes or self.unread is not None:
            self._lag(taken)
            return 0
        return taken

    def _lag(self, piece_bytes: int) -> None:
        """The owner still holds some of what came: of this piece, or of others before it."""
        left = self._delivered_bytes
        if left:
            self._delivered_bytes = 0
            self._count(left)
        if piece_bytes > left:
            self._give_credit(piece_bytes - left)

    def _count(self, delta_bytes: int) -> None:
        """The owner has not acknowledged so much more, or less where negative."""
        if not self._live:
            return
        if self.unread is None:
            self.unread = Holding(self._carrier.account)
        self.unread.add(delta_bytes)
        if not self.unread.size_bytes:
            self._drop_unread()

    def _drop_unread(self) -> None:
        if self.unread is not None:
            self.unread.close()
            self.unread = None

    def _give_credit(self, size: int) -> None:
        """Return credit for what the owner took, or withhold it."""
        carrier = self._carrier
        if (self.unread is not None or self._delivered_bytes) and carrier.account.above_high_mark:
            # A consumer that lags gets its credit once there is room again. One that keeps up is never held back.
            self.withheld_bytes += size
            carrier.withhold(self)
            return
        if self.withheld_bytes:
            size += self.withheld_bytes
            self.withheld_bytes = 0
        carrier.credit(self.stream_id, size)

    def give_up(self) -> None:
        """Its owner raised an exception: reset the stream, and tell the owner."""
        owner = self.owner
        self.reset()
        with contextlib.suppress(Exception):  # it has failed already, and that is logged
            owner.stream_lost(StreamRefusedError("internal error"))

    def lost(self, error: TunnelError) -> None:
        """The session or the peer ended the stream. Only the carrier calls this."""
        self._live = False
        self._drop_unread()
        owner, self.owner = self.owner, NO_OWNER
        owner.stream_lost(error)

    def forget(self) -> None:
        """The owner is not called any more. Only the carrier calls this."""
        self._live = False
        self._drop_unread()
        self.owner = NO_OWNER

    def __repr__(self) -> str:
        return f"<YamuxStream {self.stream_id} {'live' if self._live else 'over'}, {self.unread_bytes} bytes unread>"

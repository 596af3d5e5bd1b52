"""The door on peers' streams: takes one whose link cannot be spliced, and answers its requests through an upstream.

It is the `Reception` of all its connections: whatever a connection reads goes to the upstream that its stream came for.
It knows no routes and no policy, and of peer links only their streams.

Invariant: what a connection keeps of what came is not acknowledged, and so counted by its stream; all else that is held
here is in `account`.
"""

import asyncio
import logging
from collections.abc import Iterable

from tunnel.account import Account
from tunnel.errors import StoppingError
from tunnel.port import Upstream
from tunnel.streams import ByteStream

from ...observed.metrics import Limit
from ..backlog import Backlog
from ..deadlines import Deadlines
from ..heads import Head
from ..lines import HeadError
from ..port import Peer
from .call import BareCall, BareRefusal
from .connection import IDLE_SECONDS, Answer, BareConnection
from .transport import BreakOff, StreamTransport
from .websocket import BareWebSocket

logger = logging.getLogger("gateway")


class BareDoor:
    """See the module. One for a process; its connections are seen by the relief (`Waiters`)."""

    keep_alive_seconds = IDLE_SECONDS

    def __init__(self, account: Account, loop: asyncio.AbstractEventLoop) -> None:
        self._held_account = account
        self._loop = loop
        self.account = Account(high_mark_bytes=1 << 62)
        """Of the connections' own buffers: the streams count these bytes, which are not acknowledged."""
        self.backlog = Backlog(loop)
        self.deadlines = Deadlines(loop)
        self.connections: set[BareConnection] = set()
        self._of_link: dict[str, set[BareConnection]] = {}

    def attach(
        self, stream: ByteStream, upstream: Upstream, answer: Answer, *,
        peer: str, early: bytes = b"", fresh: bool = False, break_off: BreakOff | None = None,
    ) -> None:  # fmt: skip
        """Answer the requests on `stream`, one after the other, until it ends. The door owns it from now on.

        `early`: what came already behind the preamble, and is not acknowledged. `fresh`: the first request wants a new
        connection to the service. `peer`: the node that asks, for logs. `break_off`: None resets the stream at once,
        without a reason. It and `answer` may be called before this returns.
        """
        connection = BareConnection(self, self._loop, upstream, answer, peer=peer, fresh=fresh)
        ends = break_off or (lambda _: stream.reset())
        connection.serve(StreamTransport(stream, connection, self._loop, ends), early)

    # --- the life of the node

    def link_left(self, label: str) -> None:
        """The link of this name takes no more requests: end the streams that idle on it, so that none comes there."""
        for connection in list(self._of_link.get(label, ())):
            connection.finish()

    def finish(self) -> None:
        """The node drains: end each stream, now or after its answer. Open WebSockets go on."""
        for connection in list(self.connections):
            connection.finish()

    def close(self) -> None:
        """Reset all streams, and with them their exchanges; idempotent."""
        for connection in list(self.connections):
            connection.end_with(StoppingError("the node stops"))

    # --- the reception

    def take(self, head: Head, connection: BareConnection, /) -> BareCall:
        """The call of a request, or of a handshake."""
        kind = BareWebSocket if head.fields.framing.upgrades else BareCall
        return kind(head, connection, self._held_account)

    def refuse(self, error: HeadError, connection: BareConnection, /) -> BareRefusal:
        """The call of what was not a request."""
        return BareRefusal(str(error), connection)

    def upgrade(self, head: Head, connection: BareConnection, /) -> Peer:
        """Not asked: a handshake is a request until its 101."""
        raise NotImplementedError

    def handed_over(self, connection: BareConnection, heir: object, /) -> None:
        """Nor this: a stream stays with its connection."""
        raise NotImplementedError

    def joined(self, connection: BareConnection, /) -> None:
        """A stream came."""
        self.connections.add(connection)
        self._of_link.setdefault(connection.upstream.label, set()).add(connection)

    def parted(self, connection: BareConnection, /) -> None:
        """It is gone; idempotent."""
        self.connections.discard(connection)
        label = connection.upstream.label
        of_link = self._of_link.get(label)
        if of_link is not None:
            of_link.discard(connection)
            if not of_link:
                del self._of_link[label]

    # --- above the marks of the account

    def waiting(self) -> Iterable[BareConnection]:
        """See `Waiters`."""
        return self.connections

    def relieved(self, connection: BareConnection, limit: Limit, /) -> None:
        """The relief counts it, and the peer records the request."""
        logger.info("%s: a request of %s is ended: %s", connection.upstream.label, connection.peer, limit.value)

    def __repr__(self) -> str:
        return f"<BareDoor {len(self.connections)} streams>"

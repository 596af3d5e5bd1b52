"""The live streams of one yamux session as `ByteStream`s: opened, told what came, credited, reset and lost.

The ground of whoever keeps a session, on a link of an agent or between two nodes, who feeds the session and sends what
it has to say. Invariants: a failing stream ends only that stream; credit is returned only for what a stream's owner
acknowledged; nothing is held for a stream that is over.
"""

import logging
from collections.abc import Callable, Iterator

from tunnel.account import Account, Holding
from tunnel.errors import LinkBusyError, LinkLostError, TunnelError
from tunnel.gateway.yamux.stream import YamuxStream
from tunnel.slices import let_go, work_off
from tunnel.yamux import LocalError, Session

logger = logging.getLogger(__name__)

_LOSSES_PER_TURN = 8
"""When a session is lost, with what each means for its client: 100 to 200 us for a WebSocket."""
_RESETS_PER_STEP = 16


class Streams:
    """See the module. `wake` is called when the session may have something to send."""

    session: Session

    def __init__(
        self, session: Session, *, wake: Callable[[], None], clock: Callable[[], float], account: Account
    ) -> None:
        self.session = session
        self._outbox = session.outbox
        self.wake = wake
        self.clock = clock
        self.account = account
        self.unsent = Holding(account)
        """What waits in the session's send buffers, as of the last count."""
        self._streams: dict[int, YamuxStream] = {}
        self._withheld: set[YamuxStream] = set()
        self._lost = False
        self.going_away = False
        """No stream may be opened any more."""
        self.is_ending = False
        """The session is lost, and not all owners were told yet: there may still be more to send."""

    # --- told by the streams and their owners

    def open_stream(self) -> YamuxStream:
        """Open a stream. Raises LinkLostError after a go-away, LinkBusyError when there is no room."""
        if self.going_away or self._lost:
            raise LinkLostError("the link takes no new streams")
        try:
            stream_id = self.session.open_stream()
        except LocalError as error:
            raise LinkBusyError(f"no stream could be opened: {error}") from None
        return self._keep(stream_id)

    def end(self, stream: YamuxStream) -> None:
        """Queue the FIN of a stream."""
        self.session.end_stream(stream.stream_id)
        self._drop_if_over(stream)
        self.wake()

    def reset(self, stream: YamuxStream, code: int = 0) -> None:
        """Abort a stream; its owner is not called again. `code`: see `Session.reset_stream`."""
        self._streams.pop(stream.stream_id, None)
        stream.forget()
        self.session.reset_stream(stream.stream_id, code)
        self.unsent.set(self.session.buffered_bytes)
        self.wake()

    def abandon(self, stream: YamuxStream, error: TunnelError) -> None:
        """Reset a stream, and tell its owner why."""
        self._streams.pop(stream.stream_id, None)
        self.session.reset_stream(stream.stream_id)
        self.unsent.set(self.session.buffered_bytes)
        self._lose(stream, error)
        self.wake()

    def withhold(self, stream: YamuxStream) -> None:
        """Look after a stream that withholds credit: it gets it back once there is room again."""
        self._withheld.add(stream)

    def credit(self, stream_id: int, size: int) -> None:
        """Give credit back to the peer."""
        clock = self.clock
        if self.session.acknowledge(stream_id, size, clock()):
            self.wake()

    # --- told by what keeps the session

    def _keep(self, stream_id: int) -> YamuxStream:
        """The `ByteStream` of a live stream; its data goes to its owner from now on."""
        stream = self._streams[stream_id] = YamuxStream(self, stream_id)
        self.session.deliver_to(stream_id, stream)
        return stream

    def _ended(self, stream_id: int) -> None:
        """The peer ended a stream's direction."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.end_received = True
            self._tell(stream, stream.owner.end_received)
            self._drop_if_over(stream)

    def _was_reset(self, stream_id: int, error: TunnelError) -> None:
        """The peer reset a stream."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self.unsent.set(self.session.buffered_bytes)
            self._lose(stream, error)

    def _sent(self) -> None:
        """A batch was sent: count what is still buffered, and tell streams that have room again."""
        self.unsent.set(self.session.buffered_bytes)
        for stream_id in self.session.take_writable():
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._tell(stream, stream.owner.stream_writable)

    def _give_withheld(self) -> None:
        """Return the credit that was withheld, if there is room again. To be called now and then."""
        if self._withheld and not self.account.above_high_mark:
            withheld, self._withheld = self._withheld, set()
            for stream in withheld:
                stream.acknowledge(0)

    def _lose_streams(self, error: TunnelError) -> None:
        """The session is over: tell the owner of every stream, and hold nothing any more. Resets are left to send."""
        streams, self._streams = list(self._streams.values()), {}
        self._withheld.clear()
        self._lost = self.is_ending = True
        self.unsent.close()
        work_off(self._lose_all(streams, error), _LOSSES_PER_TURN)

    # --- inside

    def _lose_all(self, streams: list[YamuxStream], error: TunnelError) -> Iterator[None]:
        """All resets first, many a step, because they may still reach the peer; then one owner a step."""
        for number, stream in enumerate(streams, 1):
            self.session.reset_stream(stream.stream_id)
            if number % _RESETS_PER_STEP == 0:
                yield
        left = let_go(streams)
        del streams  # all together, they would be freed in one step
        for stream in left:
            self._lose(stream, error)  # one that was reset meanwhile has no owner any more
            yield
        self.is_ending = False
        self.wake()

    def _tell(self, stream: YamuxStream, callback: Callable[[], None]) -> None:
        """Call an owner. If it fails, that costs its stream, never the link."""
        try:
            callback()
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)
            stream.give_up()

    def _lose(self, stream: YamuxStream, error: TunnelError) -> None:
        try:
            stream.lost(error)
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)

    def _drop_if_over(self, stream: YamuxStream) -> None:
        # What its owner still holds stays counted until the owner acknowledges it, or the stream is gone.
        if stream.end_sent and stream.end_received:
            self._streams.pop(stream.stream_id, None)

"""A spliced WebSocket: after the 101 its bytes pass between the client's transport and the service's stream as they
came, and only the heads of its frames are read (`tunnel/websocket/scanner.py`).

The counterpart of `Conversation`, with the same limits, counts and closes. Extensions are the two ends' matter, so
sizes are those on the wire. A close of ours goes in only at a border of what was passed on: inside a frame it waits for
the frame's end, for `websocket_write_timeout` at most. After it nothing passes in that direction, and the peer's answer
to it is swallowed. Pings of ours are marked, and their pongs are cut out. While the client does not take what is
written, nothing is acknowledged to the service, so its window bounds what waits. `tick` checks all deadlines.

The states, and what may follow each, are in `splice_states.py`, those of a direction in `way.py`.
"""

from tunnel.account import Account, Holding
from tunnel.errors import TunnelError
from tunnel.port import Exchange
from tunnel.streams import StreamOwner
from tunnel.websocket import LOOK, Closed, Failed, marked_ping

from ..observed.access import Record
from ..observed.metrics import Limit, Metrics
from ..rules.policy import Policy
from .client_port import SplicedClient
from .parting import Parting
from .passage import count
from .splice_states import OPEN, OVER, PARTING
from .way import ENDING

_PING_CLIENT = marked_ping(masked=False)


class Splice(Parting, StreamOwner):
    """See the module. When it ends, the record says who closed it, with which code, and how much passed.

    `reserved`: the reserved bits that the agreed extensions may set. A subclass says what follows when both sides are
    done (`talked`). Most messages come as one whole frame and pass without more ado; a direction has an object (`Way`)
    only while there is something to remember of it.
    """

    __slots__ = ()

    def __init__(
        self, exchange: Exchange, policy: Policy, client: SplicedClient, *, reserved: int,
        account: Account, metrics: Metrics, record: Record,
    ) -> None:  # fmt: skip
        super().__init__(policy, client, reserved=reserved, account=account, metrics=metrics, record=record)
        spliced = exchange.splice(self)
        if spliced is not None:
            self._stream, self._connection_owner = spliced.stream, spliced.connection_owner
            self._input_ended, self._untaken_bytes = spliced.input_ended, spliced.untaken_bytes
            if spliced.waiting:
                self._down.keep(spliced.waiting)

    # --- told by the client

    def bytes_received(self, data: bytes, /) -> None:
        """Frames of the client, cut anywhere."""
        up, stream = self._up_way, self._stream
        if up is None and stream is not None and (size := self._whole_up.size_of(data)) != LOOK:
            now = self.broken()
            if stream.write(data):
                count(self._metrics.client_to_service, self._record, size, 0.0, True)
            else:
                self._up.passage.block()
                self._up.count([size], now)
            return
        if up is None:
            if self._whole_up.is_marked_pong(data):
                return
            up = self._up
        if stream is None or up.passage.blocked_since is not None or (size := up.glance(data)) == LOOK:
            self._hold_up(data)
            return
        now = self.broken()
        if not stream.write(data):
            up.passage.block()
            up.count([size] if size >= 0 else [], now)
        elif size >= 0:
            up.passage.passed(size, now, now)

    def client_writable(self) -> None:
        """The client's buffer has drained."""
        self._down.unblock()
        if self.state is OVER:
            return
        self._go_on_down()

    def ping_client(self) -> bool:
        """It was silent for the whole interval. False: inside a frame there is no place for a ping."""
        down = self._down_way
        may_insert = down is None or down.may_insert
        if may_insert:
            self._client.write(_PING_CLIENT)
        return may_insert

    def client_silent(self) -> None:
        """Nothing came after a ping."""
        self._part("client", 1006)
        self._close_client(1011, "keepalive ping timeout")
        self._client.hang_up()
        self.client_left(1006, "")

    def server_stops(self) -> None:
        """Both sides are told, and the client's connection ends."""
        self.stop(now=False)
        self._client.hang_up()

    def client_left(self, code: int, _reason: str, /) -> None:
        """The client's connection is gone, or is being cut; idempotent."""
        if self.state is OVER or self._client_gone:
            return
        self._client_gone = True
        self._part("client", code)
        self._down.shut()
        if self._down.rest_bytes:
            self._read_down()
        else:
            self._take_back()
        if not self._up.rest_bytes:
            self._client_ended()
            return
        if not self._up.has_turn and not self._up.is_blocked:
            self._read_up()  # the last look at it failed
        self._advance()

    def client_broke(self) -> None:
        """A fault of ours."""
        self.broke()

    # --- told by the stream

    def data_received(self, data: bytes, /) -> None:
        """Frames of the service, cut anywhere."""
        down, stream = self._down_way, self._stream
        if down is None and stream is not None and (size := self._whole_down.size_of(data)) != LOOK:
            now = self.broken()
            if self._client.write(data) or self._client_gone:
                stream.acknowledge(len(data))
                count(self._metrics.service_to_client, self._record, size, 0.0, False)
            else:
                self._untaken_bytes += len(data)
                self._down.passage.block(self._client.unsent_bytes)
                self._down.count([size], now)
            return
        if down is None:
            if stream is not None and self._whole_down.is_marked_pong(data):
                self.broken()
                stream.acknowledge(len(data))
                return
            down = self._down
        if stream is None or down.passage.blocked_since is not None or (size := down.glance(data)) == LOOK:
            self._untaken_bytes += len(data)
            waits = down.rest_bytes or down.is_blocked
            down.keep(data)
            if not waits:
                self._read_down()
            return
        now = self.broken()
        if not self._client.write(data) and not self._client_gone:
            self._untaken_bytes += len(data)
            down.passage.block(self._client.unsent_bytes)
            down.count([size] if size >= 0 else [], now)
            return
        stream.acknowledge(len(data))
        if size >= 0:
            down.passage.passed(size, now, now)

    def end_received(self) -> None:
        """The service ended its direction. That is a clean end only after a close frame."""
        self._input_ended = True
        if not self._down.rest_bytes:
            self._service_ended()

    def stream_lost(self, error: TunnelError, /) -> None:
        """The service's connection is gone."""
        if self._stream is not None:
            self.failed(error.after_answer_began())

    def stream_writable(self) -> None:
        """The stream has drained."""
        self._up.unblock()
        self._read_up()

    # --- told by the call, and through it by the gateway

    def begin(self, early: bytes, error: TunnelError | None = None, *, ended: bool = False) -> None:
        """Pass bytes both ways. `early`: frames that came with the 101; `error`, `ended`: the exchange is over."""
        self._client.start(self)
        if early:
            self._down.keep_first(early)
        if self._down_way is not None and self._down_way.rest_bytes:
            self._read_down()
        else:
            self._take_back()
        if error is not None:
            self.failed(error)
        elif ended or self._stream is None or self._input_ended:
            self.end_received()

    def take(self, data: bytes) -> None:
        """See `data_received`: the exchange calls nobody once its stream has another owner."""
        self.data_received(data)

    def writable(self) -> None:
        """See `stream_writable`."""
        self.stream_writable()

    def service_ended(self) -> None:
        """See `end_received`."""
        self.end_received()

    def tick(self, now: float) -> float | None:
        """Check the deadlines. Returns when the next one is, while all is quiet."""
        if self.state is OVER:
            return None
        if self.state is OPEN:
            self._let_rest()
            if self._up_way is None and self._down_way is None:
                return self._tick_silence(now)
        up, down, limit = self._up, self._down, self._policy.websocket_write_timeout
        if down.passage.overdue(now, limit, self._client.unsent_bytes):
            self._hit(Limit.TIMEOUT_WRITE)
            self._part("gateway", 1006)
            self._record.close_code, self._record.closed_by = 1006, "gateway"
            self._cut_client()
        elif up.passage.overdue(now, limit):
            self._hit(Limit.TIMEOUT_WRITE)
            self._part("gateway", 1011)
            self._close_client(1011, "the service does not read")
            self._reset_service()
        elif down.state is ENDING and now - down.ending_since > limit:
            self._cut_client()
        elif up.state is ENDING and now - up.ending_since > limit:
            self._reset_service()
        elif self.state is OPEN:
            return self._tick_silence(now)
        return None

    def _tick_silence(self, now: float) -> float | None:
        """The part of `tick` for a WebSocket on which nobody is late."""
        up, down = self._up_way, self._down_way
        if self.is_over(now):
            self._hit(Limit.TIMEOUT_IDLE)
            self._close_both(1001, "idle", to_service=1001)
        elif self._stream is not None and (up is None or up.may_insert) and self.asks(now):
            self._stream.write(marked_ping(masked=True))
        elif not self.held_bytes and not any(way is not None and way.is_blocked for way in (up, down)):
            return self.sleep()
        return None

    @property
    def held_bytes(self) -> int:
        """Bytes waiting in either direction, and what the stream holds."""
        held = self._held.size_bytes if self._held is not None else 0
        if self._down_way is not None:
            held += self._down_way.scanner.held_bytes
        return held + self._stream.held_bytes if self._stream is not None else held

    # --- client to service

    def _hold_up(self, data: bytes) -> None:
        """Bytes of the client that need a look at each frame, or wait."""
        self.stir()
        waits = self._up.rest_bytes or self._up.is_blocked
        self._up.keep(data)
        if not waits:
            self._read_up()
        else:
            self._client.pause_reading()
            self._count_up()

    def _read_up(self) -> None:
        """Pass on what waits, up to some hundred frames; then read on, or go on in a later turn."""
        up, stream = self._up, self._stream
        if up.rest_bytes:
            found = up.follow()
            if found.passed and stream is not None:
                now = self.broken()
                if not stream.write(found.passed):
                    up.passage.block()
                up.count(found.sizes, now)
            frame = up.due_close()
            if frame and stream is not None:
                stream.write(frame)
            if found.end is not None:
                self._client_ends(found.end)
            elif frame:
                self._advance()
        self._count_up()
        if self.state is OVER or up.is_blocked:
            return
        if up.rest_bytes:
            self._client.pause_reading()
            if not up.has_turn:
                up.has_turn = True
                self._client.later(self._later_up)
        elif self._client_gone:
            self._client_ended()
        else:
            self._client.resume_reading()

    def _later_up(self) -> None:
        self._up.has_turn = False
        if self._up.rest_bytes and not self._up.is_blocked:
            self._read_up()

    def _count_up(self) -> None:
        held_bytes = self._up.rest_bytes + self._up.scanner.held_bytes
        if self._held is None and held_bytes and self.state is not OVER:
            self._held = Holding(self._account)
        if self._held is not None:
            self._held.set(held_bytes)

    def _client_ends(self, end: Closed | Failed) -> None:
        """The client closed, which has passed, or broke the protocol or a limit."""
        if isinstance(end, Closed):
            self._part("client", end.code)
        else:
            self._fail(end, end.code, "client" if end.code == 1002 else "gateway")
            self._close_client(end.code, end.reason)
            self._close_service(end.code, end.reason if end.code == 1002 else "")
        self._advance()

    def _client_ended(self) -> None:
        """It is gone, and all that it sent has passed."""
        if self._up.end is None:
            self._close_service(1011, "client vanished")
        if self._up.state is ENDING:
            self._reset_service()  # the open frame will never end
        self._advance()

    # --- service to client

    def _read_down(self) -> None:
        """Pass on what waits, up to some hundred frames; then acknowledge it, or go on in a later turn."""
        down = self._down
        now = self.broken()
        found = down.follow()
        if found.passed and not self._client.write(found.passed) and not self._client_gone:
            down.passage.block(self._client.unsent_bytes)
        down.count(found.sizes, now)
        frame = down.due_close()
        if frame:
            self._client.write(frame)
        if found.end is not None:
            self._service_ends(found.end)
        elif frame:
            self._advance()
        if self.state is not OVER and not down.is_blocked:
            if not down.rest_bytes:
                self._take_back()
            elif not down.has_turn:
                down.has_turn = True
                self._client.later(self._later_down)

    def _later_down(self) -> None:
        self._down.has_turn = False
        self._go_on_down()

    def _go_on_down(self) -> None:
        """In a later turn, or once the client reads again."""
        if self.state is OVER or self._down.is_blocked:
            return
        if self._down.rest_bytes:
            self._read_down()
        else:
            self._take_back()
        if self._is_service_done:
            self._service_ended()
        else:
            self._advance()

    def _service_ends(self, end: Closed | Failed) -> None:
        """The service closed, which has passed, or broke the protocol or a limit."""
        if isinstance(end, Closed):
            self._part("service", end.code)
        else:
            code = end.code if end.code != 1002 else 1011
            self._fail(end, code)
            self._close_service(end.code, end.reason if end.code == 1002 else "")
            self._close_client(code, end.reason)
        self._advance()

    def _service_ended(self) -> None:
        """All that it sent has passed, and no more will come."""
        code, reason = self._last
        if self.state is PARTING and isinstance(self._up.end, Closed):
            code, reason = self._up.end.code, ""  # the client closed, and gets its answer
        self._part("service", code)
        self._close_client(code, reason)
        self._advance()

    def _service_gone(self) -> None:
        self._up.shut()
        if self._is_service_done:
            self._service_ended()
        self._read_up()

    def __repr__(self) -> str:
        up, down = self._up_way or "at rest", self._down_way or "at rest"
        return f"<Splice {self.state.name.lower()}, up {up}, down {down}>"

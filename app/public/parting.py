"""How a spliced WebSocket ends: who closed it, which closes of ours go in where, and when both sides are done.

The part of a splice (`splice.py`) that moves no data.
"""

import asyncio
from abc import ABC, abstractmethod
from functools import partial

from tunnel.account import Account, Holding
from tunnel.errors import LinkLostError, TunnelError
from tunnel.nobody import NO_OWNER
from tunnel.port import SplicedOwner
from tunnel.streams import ByteStream
from tunnel.websocket import Failed, FrameScanner, whole_messages
from tunnel.websocket.frames import Opcode, close_payload, encode_frame

from ..node.stalls import Lags
from ..observed.access import Record
from ..observed.metrics import Limit, Metrics, limit_of_error
from ..observed.record import ClosedBy
from ..rules import problems
from ..rules.policy import Policy
from .client_port import SplicedClient
from .passage import Passage, looks_at_each
from .silence import Silence
from .splice_states import OPEN, OVER, PARTING
from .way import CLOSED, ENDING, Way

_CLOSE_SECONDS = 10.0
"""Time for both sides to end once one has closed, or we have; then the connections are cut."""
_VANISHED = (1011, "service vanished")


class Parting(Silence, ABC):
    """See the module; and how long it has been silent.

    A subclass moves the data, and calls `_advance` after what may be the end of something.
    """

    __slots__ = (
        "_account", "_client", "_client_gone", "_close_timer", "_connection_owner", "_down_way", "_held",
        "_input_ended", "_last", "_metrics", "_policy", "_record", "_reserved", "_stream", "_untaken_bytes", "_up_way",
        "_whole_down", "_whole_up", "state",
    )  # fmt: skip

    def __init__(
        self, policy: Policy, client: SplicedClient, *, reserved: int,
        account: Account, metrics: Metrics, record: Record,
    ) -> None:  # fmt: skip
        super().__init__(policy.idle_timeout)
        limit = policy.max_message_bytes
        self._policy = policy
        self._client = client
        self._metrics = metrics
        self._record = record
        self._account = account
        self._reserved = reserved
        self._whole_up = whole_messages(masked=True, max_message_bytes=limit, reserved=reserved)
        self._whole_down = whole_messages(masked=False, max_message_bytes=limit, reserved=reserved)
        self._up_way: Way | None = None
        self._down_way: Way | None = None
        if looks_at_each(policy):
            self._up_way, self._down_way = self._up, self._down
        self._held: Holding | None = None  # the client's bytes that wait, once some had to
        self._untaken_bytes = 0  # of the service, passed on or waiting, and not acknowledged
        self._client_gone = False
        self._last = _VANISHED
        self._close_timer: asyncio.TimerHandle | None = None
        self.state = OPEN
        self._stream: ByteStream | None = None
        """The service's. None once nothing more can be written to it, nor will come."""
        self._connection_owner: SplicedOwner | None = None
        """To be told that the stream has ended."""
        self._input_ended = False
        """The service has ended its direction."""

    @abstractmethod
    def talked(self) -> None:
        """Both sides are done; called once, but not after `drop`."""

    @abstractmethod
    def broke(self) -> None:
        """A fault of ours ended it; idempotent."""

    @abstractmethod
    def client_left(self, code: int, reason: str, /) -> None:
        """The client's connection is gone, or is being cut."""

    @abstractmethod
    def _service_gone(self) -> None:
        """Nothing more can be written to it, nor will come: pass on what came, and read on for the client's close."""

    # --- its directions

    @property
    def _up(self) -> Way:
        """The client's direction. It is made when there is something to remember of it."""
        way = self._up_way
        if way is None:
            passage = Passage("client_to_service", self._policy, self._metrics, self._record)
            way = self._up_way = _way(passage, self._policy, self._reserved, masked=True)
        return way

    @property
    def _down(self) -> Way:
        """The service's, likewise."""
        way = self._down_way
        if way is None:
            passage = Passage("service_to_client", self._policy, self._metrics, self._record)
            way = self._down_way = _way(passage, self._policy, self._reserved, masked=False)
        return way

    def _let_rest(self) -> None:
        """Let go of a direction of which there is nothing to remember: most WebSockets are silent, or send messages
        that come whole.
        """
        if self._up_way is not None and self._up_way.is_at_rest:
            self._record.stalled_by_service_seconds += self._up_way.passage.end()
            self._up_way = None
            if self._held is not None:
                self._held.close()
                self._held = None
        if self._down_way is not None and self._down_way.is_at_rest:
            self._record.stalled_by_client_seconds += self._down_way.passage.end()
            self._down_way = None

    # --- told by the call, and through it by the gateway

    def failed(self, error: TunnelError) -> None:
        """The service's connection is gone, or was before this began."""
        self._take_back()
        self._let_go_of_stream()
        if (limit := limit_of_error(error)) is not None and not self._record.limit:
            self._hit(limit)
        lost_link = isinstance(error, LinkLostError)
        reason = "connection to the cluster lost" if lost_link else "connection to the service lost"
        self._record.detail = self._record.detail or str(error)
        code = problems.problem_of(error).close_code
        self._last = code, reason
        self._part("gateway" if lost_link else "service", code)
        self._service_gone()

    def drop(self) -> None:
        """Let go of both sides and of all that is held; idempotent."""
        if self.state is OVER:
            return
        self.state = OVER
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._record.stalled_by_client_seconds += self._down.passage.end()
        self._record.stalled_by_service_seconds += self._up.passage.end()
        self._up.drop()
        self._down.drop()
        if self._held is not None:
            self._held.close()
        self._take_back()
        stream = self._stream
        if stream is not None and self._input_ended:
            stream.owner = NO_OWNER  # they refer to each other
            stream.write_end()
        elif stream is not None:
            stream.reset()
        self._let_go_of_stream()
        self._client.leave()

    def stop(self, *, now: bool, reason: str = "gateway is restarting") -> None:
        """The gateway is stopping, or the operator ends it: close the client with 1012, the service with 1001."""
        self._close_both(1012, reason, to_service=1001)
        if now:
            self._cut()

    def relieve(self, limit: Limit = Limit.HELD_HARD) -> None:
        """The process holds too many bytes: close this WebSocket, and abort a client that does not drain its buffer."""
        self._hit(limit)
        self._close_both(1013, "gateway is out of room", to_service=1001)
        if self._down.is_blocked:
            self._client.abort()
        self._cut()

    def lags(self) -> Lags:
        """See `Exchanging`."""
        unsent_bytes = self._stream.held_bytes if self._stream is not None else 0
        up, down = self._up_way, self._down_way
        return (
            down.passage.lag(self._client.unsent_bytes) if down is not None else None,
            up.passage.lag(unsent_bytes) if up is not None else None,
        )

    # --- closing

    def _part(self, by: ClosedBy, code: int) -> None:
        """Somebody closed, or is gone: the first is recorded, and both sides have some time to end."""
        self.stir()
        if self.state is not OPEN:
            return
        self.state = PARTING
        self._record.close_code = self._record.close_code or code
        self._record.closed_by = self._record.closed_by or by

    def _fail(self, fault: Failed, code: int, by: ClosedBy = "gateway") -> None:
        """One side broke the protocol or a limit: we close, the client with `code`."""
        if fault.code == 1009:
            self._hit(Limit.MESSAGE_SIZE)
        elif fault.code == 1008:
            self._hit(Limit.MESSAGES_RATE)
        self._part(by, code)

    def _close_both(self, code: int, reason: str, *, to_service: int) -> None:
        """Close both sides, by our own decision."""
        if self.state is OPEN:
            self._part("gateway", code)
            self._close_client(code, reason)
            self._close_service(to_service, "")
            self._advance()

    def _close_client(self, code: int, reason: str) -> None:
        frame = _close_frame(code, reason, masked=False)
        if self._client_gone:
            return
        if self._down.may_close(frame):
            self._client.write(frame)
        elif self._down.state is ENDING and self._is_service_done:
            self._cut_client()  # the open frame will never end

    def _close_service(self, code: int, reason: str) -> None:
        frame = _close_frame(code, reason, masked=True)
        if self._up.may_close(frame) and self._stream is not None:
            self._stream.write(frame)

    @property
    def _is_service_done(self) -> bool:
        """It has ended its direction, or is lost, and all that came has passed."""
        return (self._stream is None or self._input_ended) and not self._down.rest_bytes

    def _advance(self) -> None:
        """End what has nothing left to do."""
        if self.state is not PARTING:
            return
        if self._close_timer is None and not self._down.is_blocked:
            self._close_timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._finish)
        is_client_done = self._client_gone or (self._up.end is not None and self._down.state is CLOSED)
        is_service_done = self._is_service_done
        if is_client_done:
            self._client.hang_up()
        if self._stream is not None and self._up.state is CLOSED and (is_service_done or self._down.end is not None):
            self._stream.write_end()
        if is_client_done and is_service_done:
            self._finish()

    def _cut_client(self) -> None:
        self._client.abort()
        self.client_left(1006, "")

    def _take_back(self) -> None:
        """Acknowledge what came from the service, which is passed on or dropped."""
        size, self._untaken_bytes = self._untaken_bytes, 0
        if size and self._stream is not None:
            self._stream.acknowledge(size)

    def _let_go_of_stream(self) -> None:
        """It is ended, reset or lost."""
        owner = self._connection_owner
        self._stream = self._connection_owner = None
        if owner is not None:
            owner.spliced_ended()

    def _reset_service(self) -> None:
        self._take_back()
        if self._stream is not None:
            self._stream.reset()
        self._let_go_of_stream()
        self._service_gone()

    def _cut(self) -> None:
        """End both sides now, after what was written."""
        self._reset_service()
        self._finish()

    def _finish(self) -> None:
        if self.state is not OVER:
            self.drop()  # first: a client that is lost within the call tells nobody
            self._client.hang_up()
            self.talked()

    def _hit(self, limit: Limit) -> None:
        self._metrics.limit_hit(limit, self._record)


def _way(passage: Passage, policy: Policy, reserved: int, *, masked: bool) -> Way:
    admits = partial(_admits, passage) if passage.limited else None
    scanner = FrameScanner(
        masked=masked, max_message_bytes=policy.max_message_bytes, reserved=reserved, admits=admits
    )  # fmt: skip
    return Way(scanner, passage)


def _admits(passage: Passage, size: int) -> bool:
    return passage.admit(size) is not None


def _close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    payload = close_payload(None, "") if code == 1005 else close_payload(code, reason)
    return encode_frame(Opcode.CLOSE, payload, masked)

"""A WebSocket after the service's 101: messages on the client's side, RFC 6455 frames on the service's.

Both sides make plain calls; there is no task and no queue here. Close codes and reasons cross both ways: 1005 as an
empty close, a vanished peer as 1011, a lost agent as 1012. The codec consumes the service's bytes and assembles
messages under a cap, so a message larger than a window can pass. While the client's buffer is full, the exchange is
paused and no credit goes back to the service. `tick` checks all deadlines.

The states, and what may follow each, are in `conversation_states.py`.
"""

import asyncio
import time

from tunnel import websocket
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.port import Exchange

from ..node.stalls import Lags
from ..observed.access import Record
from ..observed.metrics import Limit, Metrics, limit_of_error
from ..rules import problems
from ..rules.policy import Policy
from .client_port import Message, WebSocketClient
from .conversation_states import CLOSED, CLOSING, DONE, END_OF_ERROR, END_OF_SERVICE, OPEN, OVER, PARTED, By
from .mailbox import Mailbox, size_of
from .passage import Passage
from .service_end import ServiceEnd
from .silence import SilenceOfCall, Sleeper

_CLOSE_SECONDS = 5.0  # time for the service to answer our close frame; then its stream is reset


class Conversation:
    """One open WebSocket. When it ends, the record says who closed it, with which code, and how much passed.

    `call` is told once when both sides are done; not after `drop`.
    """

    def __init__(
        self, exchange: Exchange, policy: Policy, client: WebSocketClient, *,
        account: Account, metrics: Metrics, record: Record, call: Sleeper,
    ) -> None:  # fmt: skip
        self._policy = policy
        self._client = client
        self._metrics = metrics
        self._record = record
        self._up = Passage("client_to_service", policy, metrics, record)
        self._down = Passage("service_to_client", policy, metrics, record)
        self._call = call
        self._service = ServiceEnd(exchange, policy.max_message_bytes, self._up)
        self._silence = SilenceOfCall(policy.idle_timeout, call)
        # The end.
        self.state = OPEN
        self._close = (1005, "")  # code and reason for the client, from CLOSING on
        self._close_timer: asyncio.TimerHandle | None = None
        # Service to client.
        self._mailbox = Mailbox(account)
        self._ready = True  # the client can take messages
        self._admitted = False  # the rate limit has already admitted the oldest message
        self._given: list[tuple[int, float]] = []  # size and arrival of messages handed over and not yet drained
        # Client to service.
        self._written: tuple[int, float] | None = None  # size and arrival of the message that filled the stream
        self._slowed: tuple[Message, int, float] | None = None  # the message held back by the rate limit

    # --- called by the exchange

    def take(self, data: bytes) -> None:
        """Frames from the service."""
        codec = self._service.codec
        now = self._silence.broken()
        if self._ready and not self._down.limited and not self._mailbox.held_bytes:
            message = codec.whole_message(data)
            if message is not None:  # the common case takes the short path
                if self._client.send_now(message):
                    self._down.passed(size_of(message), now, time.monotonic())
                else:
                    self._wait_for([(size_of(message), now)])
                return
        events = codec.receive_data(data)
        for event in events:
            match event:
                case websocket.Message():
                    self._mailbox.put(event.data, now)
                case websocket.Closed():
                    self._set_close(event.code, event.reason, "service")
                case websocket.Failed():
                    if event.code == 1009:
                        self._hit(Limit.MESSAGE_SIZE)
                    self._set_close(1009 if event.code == 1009 else 1011, event.reason, "gateway")
                case _:
                    pass  # the codec answers pings; a pong only shows that the service is alive
        self._mailbox.assembling(codec.buffered_bytes)
        if events:
            self._service.answer()
            self._advance()

    def service_ended(self) -> None:
        """The service ended its stream. That is a clean end only after a close frame."""
        self._service.ended = True
        self._set_close(1011, "service vanished", "service")
        self._advance()

    def failed(self, error: TunnelError) -> None:
        """The exchange is over."""
        self._service.lose()
        if (limit := limit_of_error(error)) is not None and not self._record.limit:
            self._hit(limit)
        reason, by = END_OF_ERROR.get(type(error), END_OF_SERVICE)
        self._record.detail = self._record.detail or str(error)
        self._set_close(problems.problem_of(error).close_code, reason, by)
        self._advance()

    def writable(self) -> None:
        """The stream has drained: send the codec's pending answers first, then the client's next message."""
        self._service.drained()
        if not self._service.full:
            if self._written is not None:
                self._up.all_passed([self._written])
                self._written = None
            self._read_on()

    # --- called by the client

    def message(self, data: Message, /) -> None:
        """A whole message from the client."""
        if self.state is not OPEN:
            return  # the service no longer reads
        now = self._silence.broken()
        size = size_of(data)
        if size > self._policy.max_message_bytes:
            self._hit(Limit.MESSAGE_SIZE)
            self._close_both(1009, "message too large", to_service=1009)
            self._advance()
            return
        wait = self._up.admit(size) if self._up.limited else 0.0
        if wait == 0.0:
            self._forward(data, size, now)
        elif wait is None:
            self._exceeded()
            self._advance()
        else:
            self._slowed = (data, size, now)
            self._up.slow_down(wait, self._forward_slowed)
            self._client.pause_reading()

    def client_writable(self) -> None:
        """The client's buffer has drained."""
        self._down.unblock()
        if self.state in DONE:
            return
        given, self._given = self._given, []
        self._down.all_passed(given)
        self._mailbox.passing(0)
        if self.state is CLOSED:
            self._await_service_close()
        else:
            self._ready = True
            self._advance()

    def client_holds(self) -> None:
        """A part of a message came from the client."""
        self._silence.stir()

    def client_left(self, code: int, reason: str, /) -> None:
        """The client closed or vanished: pass that on to the service and give it time to answer; idempotent."""
        if self.state in DONE:
            return
        self._silence.stir()
        if self._slowed is not None:
            self._forward_slowed()  # the client sent it before the close
        if self.state is OPEN:
            self._record.close_code = self._record.close_code or code
            self._record.closed_by = self._record.closed_by or "client"
            if code == 1009:
                self._hit(Limit.MESSAGE_SIZE)  # our codec, or the server, refused a message
                self._record.closed_by = "gateway"
            if not self._service.ended:
                self._service.close(code, reason)
        self._await_service_close()

    # --- called by the call, and through it by the gateway

    def begin(self, early: bytes, error: TunnelError | None = None, *, ended: bool = False) -> None:
        """Pass messages both ways. `early`: frames that came with the 101; `error`, `ended`: the exchange is over."""
        self._client.start(self)
        if early:
            self.take(early)
        if error is not None:
            self.failed(error)
        elif ended:
            self.service_ended()
        elif not self._service.paused:
            self._service.resume()

    def drop(self) -> None:
        """Let go of both sides and of all that is held; idempotent."""
        if self.state is OVER:
            return
        self.state = OVER
        self._ready = False
        self._mailbox.close()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._record.stalled_by_client_seconds = self._down.end()
        self._record.stalled_by_service_seconds = self._up.end()
        self._service.reset()
        self._client.leave()

    def stop(self, *, now: bool, reason: str = "gateway is restarting") -> None:
        """The gateway is stopping, or the operator ends it: close the client with 1012, the service with 1001."""
        self._close_both(1012, reason, to_service=1001)
        if now:
            self._service.lose()
            self._service.reset()
            self._mailbox.clear()
            if self.state is CLOSING:
                self._close_client()
        self._advance()

    def relieve(self, limit: Limit = Limit.HELD_HARD) -> None:
        """The process holds too many bytes: close this WebSocket, and abort a client that does not drain its buffer."""
        self._hit(limit)
        stuck = self._down.blocked_since is not None
        self._close_both(1013, "gateway is out of room", to_service=1001)
        self.stop(now=True)
        if stuck:
            self._client.abort()

    def tick(self, now: float) -> float | None:
        """Check the deadlines. Returns when the next one is, while all is quiet."""
        limit = self._policy.websocket_write_timeout
        if self._down.blocked_since is not None and self.state not in DONE:
            if self._down.overdue(now, limit, self._client.unsent_bytes):
                self._cut_client()
        elif self.state is not OPEN:
            return None
        elif self._up.overdue(now, limit):
            self._hit(Limit.TIMEOUT_WRITE)
            self._set_close(1011, "the service does not read", "gateway")
            self._service.lose()
            self._service.reset()
            self._advance()
        elif self._silence.is_over(now):
            self._hit(Limit.TIMEOUT_IDLE)
            self._close_both(1001, "idle", to_service=1001)
            self._advance()
        elif not self._service.full and self._silence.asks(now):
            self._service.ping()
        elif not self._service.full and not self.held_bytes:
            return self._silence.sleep()
        return None

    @property
    def held_bytes(self) -> int:
        """Messages waiting in either direction, those being assembled, and what the stream holds."""
        return self._mailbox.held_bytes + self._client.held_bytes + self._service.held_bytes

    def lags(self) -> Lags:
        """See `Exchanging`."""
        return self._down.lag(self._client.unsent_bytes), self._up.lag(self._service.held_bytes)

    # --- service to client

    def _advance(self) -> None:
        """Pass on what the client can take. When nothing waits, close the client or resume the service."""
        if self.state in DONE:
            self._end_service()
            return
        while self._ready and self._mailbox and not self._down.slowed:
            given: list[tuple[int, float]] = []
            room = True
            while room and self._mailbox and self._may_pass(size := size_of(self._mailbox.first)):
                message, arrived = self._mailbox.take()
                given.append((size, arrived))
                room = self._client.send(message)
            if given and not self._client.flush():
                self._wait_for(given)
            elif given:
                self._down.all_passed(given)
        if self._ready and not self._mailbox:
            if self.state is CLOSING:
                self._close_client()
            elif self._service.paused:
                self._service.resume()
        elif self.state not in DONE:
            self._service.pause()

    def _wait_for(self, given: list[tuple[int, float]]) -> None:
        """Count these messages as passed once the client has drained them."""
        self._given = given
        self._mailbox.passing(sum([size for size, _ in given]))
        self._ready = False
        self._down.block(self._client.unsent_bytes)
        self._service.pause()

    def _may_pass(self, size: int) -> bool:
        """Whether the rate limit lets the oldest message pass now. If not, delay it or close the WebSocket."""
        wait = self._down.admit(size) if self._down.limited and not self._admitted else 0.0
        self._admitted = False
        if wait is None:
            self._exceeded()
            return False
        if wait == 0.0 or self.state is not OPEN:
            return True
        self._down.slow_down(wait, self._pass_slowed)
        return False

    def _pass_slowed(self) -> None:
        self._admitted = self._down.hurry()
        self._advance()

    def _close_client(self) -> None:
        self.state = CLOSED
        self._ready = False
        self._record.close_code = self._close[0]
        if self._client.close(*self._close):
            self._await_service_close()
        else:
            self._down.block(self._client.unsent_bytes)

    def _cut_client(self) -> None:
        """The client does not read: abort its connection if the server can, else leave the connection to the server."""
        self._hit(Limit.TIMEOUT_WRITE)
        self._record.close_code, self._record.closed_by = 1006, "gateway"
        self._client.abort()
        self.client_left(1006, "")

    # --- client to service

    def _forward(self, data: Message, size: int, arrived: float) -> None:
        self._service.send(data)
        if self._service.full:
            self._written = (size, arrived)
            self._client.pause_reading()
        else:
            self._up.passed(size, arrived, time.monotonic())

    def _forward_slowed(self) -> None:
        """Forward the message that the rate limit held back."""
        self._up.hurry()
        waited, self._slowed = self._slowed, None
        if waited is not None and self.state is OPEN:
            self._forward(*waited)
        if not self._service.full:
            self._read_on()

    def _read_on(self) -> None:
        if not self._up.slowed:
            self._client.resume_reading()

    # --- inside

    def _set_close(self, code: int, reason: str, by: By) -> None:
        """Set how the client will be closed; the first call wins. No message is delayed after that."""
        self._silence.stir()
        if self.state is OPEN:
            self.state = CLOSING
            self._close = (code, reason)
            self._record.closed_by = self._record.closed_by or by
        self._admitted = self._down.hurry() or self._admitted

    def _close_both(self, code: int, reason: str, *, to_service: int) -> None:
        """Close both sides, by our own decision."""
        if self.state is OPEN:
            self._set_close(code, reason, "gateway")
            self._service.close(to_service, "")

    def _exceeded(self) -> None:
        self._hit(Limit.MESSAGES_RATE)
        self._mailbox.clear()
        self._close_both(1008, "rate limit exceeded", to_service=1008)

    def _await_service_close(self) -> None:
        """Wait for the service to end the connection, as RFC 6455 section 7.1.1 asks of a server."""
        self.state = PARTED
        self._ready = False
        self._down.unblock()
        self._mailbox.close()
        if not self._service.lost:
            self._close_timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._finish)
            self._service.resume()
        self._end_service()

    def _end_service(self) -> None:
        """End the exchange once the service has ended its side."""
        if self._service.ended and self.state is not OVER:
            self._service.end()
            self._finish()

    def _finish(self) -> None:
        if self.state is not OVER:
            self.drop()
            self._call.talked()

    def _hit(self, limit: Limit) -> None:
        self._metrics.limit_hit(limit, self._record)

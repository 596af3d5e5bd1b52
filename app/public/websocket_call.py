"""One WebSocket of a client, as plain calls: its handshake, then a `Conversation`, or a `SplicedCall` in its place.

The client is accepted only after the service's 101, with the subprotocol that the service chose. If the service
refuses, the client gets the service's status, headers and body. Only waiting for a link is a task. `tick` holds the
handshake's deadline, and has a timer do the last half second. `websocket_states.py` has the states and their order.
"""

import asyncio

from tunnel import errors, websocket
from tunnel.account import Holding
from tunnel.override import override
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead, Sink, Upstream

from ..node.admission import Ticket
from ..node.exchanges import TICK_SECONDS
from ..node.gateway import Gateway
from ..node.stalls import NO_LAGS, Lags
from ..node.stickiness import cookie_for
from ..observed import access
from ..observed.metrics import Limit, limit_of, limit_of_error
from ..observed.request_id import with_request_id
from ..rules import problems
from ..rules.request import FORGOTTEN, Request
from ..rules.routes import Route
from . import records, websocket_states
from .client_port import Handshake
from .conversation import Conversation
from .extensions import agreed_in, offered_by, offering, reserved_bits
from .header_rules import accept_headers, refusal_fields, upgrade_head
from .opening_call import BY_OPERATOR, OpeningCall, blame_operator
from .refusals import page
from .room import WHY, error_of
from .spliced_call import SplicedCall
from .websocket_states import ACCEPTING, CHOOSING, DECLINED, FINAL, LEFT, NEW, OPEN, OVER, REFUSED, RELAYING, TALKING

_REFUSAL_BYTES = 1024 * 1024
"""Limit for the body of a refused handshake: servers hold it whole before they send it."""


class WebSocketCall(OpeningCall):
    """One WebSocket. It is its own record, which its conversation fills in too."""

    is_websocket = True

    __slots__ = (
        "_body", "_client", "_conversation", "_ended", "_error", "_head", "_held", "_key", "_offer", "_reserved",
        "_spliced", "_ticket", "_timer", "state",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, route: Route, request: Request, client: Handshake) -> None:
        super().__init__(gateway, route, request, "websocket")
        self._client = client
        self._key = websocket.new_key()
        self._ticket: Ticket | None = None
        self._conversation: Conversation | SplicedCall | None = None  # while TALKING or SPLICED
        self._offer = offered_by(request, route.policy)  # extensions, towards an upstream that passes bytes
        self._spliced = False  # with the upstream that was chosen
        self._reserved = 0  # bits of the extensions that the service agreed to
        self._head: ResponseHead | None = None  # of a refusal
        self._body: list[bytes] | None = None  # of a refusal, or frames that came with the 101
        self._held: Holding | None = None  # the bytes of `_body`
        self._ended = False  # the exchange, while ACCEPTING
        self._error: errors.TunnelError | None = None  # likewise
        self._timer: asyncio.TimerHandle | None = None
        self.state = NEW

    # --- told by the client

    def begin(self) -> None:
        """The server handed the handshake over: admit it, and open the service's side. To be called once."""
        gateway = self._gateway
        if gateway.closing:
            self._refuse(problems.STOPPING)
            return
        ticket = gateway.admission.admit(self._route, self._request, gateway.settings.max_websockets_per_cluster)
        if isinstance(ticket, problems.Problem):
            if (hit := limit_of(ticket)) is not None:
                gateway.metrics.limit_hit(hit, self)
            self._refuse(ticket)
            return
        self._ticket = ticket
        gateway.began(self)
        offered = self._request.subprotocols
        protocols = ", ".join(offered).encode("latin-1") if offered else None
        handshake = websocket.handshake_headers(self._key, protocols)
        self._choose(upgrade_head(self._request, self._route.policy, handshake), self)

    def accepted(self) -> None:
        """The client was sent the 101, and its end can be opened."""
        if self.state is not ACCEPTING:
            return
        self.status = 101
        self._stop_timer()
        self._gateway.metrics.websocket_opened(self)
        access.emit_opened(self)
        exchange = self._exchange
        assert exchange is not None  # noqa: S101  (it answered)
        conversation = self._conversation = self._splice(exchange) if self._spliced else self._converse(exchange)
        early = b"".join(self._body or ())
        self._let_go()
        conversation.begin(early, self._error, ended=self._ended)

    def refused(self) -> None:
        """The client was sent the refusal."""
        if self.state in (REFUSED, RELAYING):
            self._close(OVER)

    def left(self) -> None:
        """The client is gone; idempotent."""
        if self._conversation is not None:
            self._conversation.client_left(1006, "")
            return
        if self.state in FINAL:
            return
        if self.state is not REFUSED:
            self.outcome = "client_left"
            if self.state is not NEW:
                self.closed_by = self.closed_by or "client"
        self._close(LEFT)

    def broke(self) -> None:
        """A fault of ours or of the server's ended the call; idempotent."""
        if self.state not in FINAL:
            self.status, self.outcome = self.status or 500, problems.INTERNAL.code
            self._close(LEFT)

    def abandoned(self) -> None:
        """The server serves it no longer; idempotent."""
        self._close(LEFT)

    @property
    def is_over(self) -> bool:
        """Nothing more is asked of the client."""
        return self.state in FINAL

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """The service's answer to the handshake."""
        if self.state is not OPEN or (head.status < 200 and head.status != 101):
            return
        self._answer_began = True
        self.head_at = self._clock()
        if head.status == 101:
            self._accept(head)
        else:
            self._head = head
            self.state = DECLINED

    def data(self, data: bytes, /) -> None:
        """Frames of an open WebSocket, or the body of a refusal."""
        conversation = self._conversation
        if conversation is not None:
            conversation.take(data)
        elif self.state in (ACCEPTING, DECLINED):
            if self._body is None or self._held is None:
                self._body, self._held = [], Holding(self._gateway.account)
            self._body.append(data)
            self._held.add(len(data))
            if self.state is DECLINED:
                if self._held.size_bytes > _REFUSAL_BYTES:
                    self._give_up(errors.ServiceBrokeOffError(f"its refusal is larger than {_REFUSAL_BYTES} bytes"))
            elif self._exchange is not None:
                self._exchange.pause()

    def trailers(self, headers: Headers, /) -> None:
        """The trailers of a refusal are dropped."""

    def end(self) -> None:
        """The refusal is complete, or the service ended its stream."""
        if self._conversation is not None:
            self._conversation.service_ended()
        elif self.state is DECLINED:
            self._relay()
        else:
            self._ended = True

    def failed(self, error: errors.TunnelError, /) -> None:
        """The exchange is over, and not in order."""
        if self._conversation is not None:
            self._conversation.failed(error)
        elif self.state is not CHOOSING:
            self._fail(error)

    def writable(self) -> None:
        """The stream has drained."""
        if self._conversation is not None:
            self._conversation.writable()

    # --- told by its conversation

    def wake(self) -> None:
        """See `Sleeper`."""
        self._gateway.exchanges.wake(self)

    def talked(self) -> None:
        """See `Sleeper`."""
        self._close(OVER)
        self._client.end()

    # --- the gateway's side

    def stop(self, *, now: bool) -> None:
        """The gateway is stopping: refuse a handshake, close an open WebSocket."""
        if self._conversation is not None:
            self._conversation.stop(now=now)
        else:
            self._give_up(errors.StoppingError("the gateway is stopping"))

    def end_by_operator(self) -> bool:
        """See `Exchanging`."""
        is_first = blame_operator(self)
        if self._conversation is not None:
            self._conversation.stop(now=False, reason=BY_OPERATOR)
        else:
            self._give_up(errors.EndedByOperatorError(BY_OPERATOR))
        return is_first

    def relieve(self, limit: Limit = Limit.HELD_HARD) -> None:
        """The process holds too many bytes: end this exchange."""
        if self._conversation is not None:
            self.detail = WHY[limit]
            self._conversation.relieve(limit)
        elif self.state in (CHOOSING, OPEN, DECLINED, ACCEPTING):
            self._gateway.metrics.limit_hit(limit, self)
            self._give_up(error_of(limit, is_safe=True))

    def lags(self) -> Lags:
        """See `Exchanging`. While it shakes hands, deadlines of seconds hold."""
        return self._conversation.lags() if self._conversation is not None else NO_LAGS

    def tick(self, now: float) -> float | None:
        """Hold the deadlines; `now` is the loop's time. Returns when to look at an open WebSocket again."""
        if self._conversation is not None:
            return self._conversation.tick(now)
        deadline = self._deadline()
        if deadline is not None:
            if now >= deadline:
                self._late()
            elif now > deadline - TICK_SECONDS and self._timer is None:
                self._timer = asyncio.get_running_loop().call_at(deadline, self._ring, deadline)
        return None

    @property
    def held_bytes(self) -> int:
        """Bytes held by this exchange, here and in its stream."""
        if self._conversation is not None:
            return self._conversation.held_bytes
        held_bytes = self._held.size_bytes if self._held is not None else 0
        return held_bytes + (self._exchange.held_bytes if self._exchange is not None else 0)

    def __repr__(self) -> str:
        state = "open" if self._conversation is not None else "shaking hands"
        return f"<WebSocketCall to {self._route.target}, {state}, {self.held_bytes} bytes held>"

    # --- opening

    @override
    def _open(self, head: RequestHead, sink: Sink, upstream: Upstream) -> None:
        client, policy = self._client, self._route.policy
        self._spliced = client.passes_bytes and upstream.passes_bytes and not policy.slows_senders
        super()._open(offering(head, self._offer) if self._spliced and self._offer else head, sink, upstream)

    @override
    def _choose(self, head: RequestHead, sink: Sink, avoid: Upstream | None = None) -> None:
        self.state = CHOOSING
        super()._choose(head, sink, avoid)

    @override
    def _opened(self, now: float) -> None:
        self.state = OPEN

    @override
    def _is_repeatable(self) -> bool:
        return True  # a handshake is a GET without a body

    def _deadline(self) -> float | None:
        """When the service must have answered, or its refusal must be whole."""
        seconds = self._route.policy.upgrade_timeout
        if self.state is OPEN and self.upstream is not None:
            return self._opened_at + seconds + self.upstream.upgrade_allowance
        if self.state is DECLINED and self.head_at is not None:
            return self.head_at + seconds
        return None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, deadline: float) -> None:
        self._timer = None
        self.tick(deadline)

    def _late(self) -> None:
        self._gateway.metrics.limit_hit(Limit.TIMEOUT_UPGRADE, self)
        what = "the service did not answer" if self.state is OPEN else "the body of the refusal did not end"
        self._give_up(errors.TooSlowError(f"the WebSocket handshake is late: {what} in time"))

    # --- answering

    def _accept(self, head: ResponseHead) -> None:
        """Have the client accepted, if the service's 101 is in order."""
        offered = [protocol.encode("latin-1") for protocol in self._request.subprotocols]
        try:
            chosen = websocket.check_accept(self._key, head.headers, offered, self._offer if self._spliced else b"")
        except errors.TunnelError as error:
            self._give_up(error)
            return
        self.state = ACCEPTING
        policy = self._route.policy
        headers = accept_headers(head.headers, self._request, policy)
        headers.extend(agreed_in(head.headers))
        self._reserved = reserved_bits(head.headers)
        if self.upstream is not None:
            headers.extend(cookie_for(self._route, self._request, self.upstream))
        headers = with_request_id(policy.response_headers.apply(headers), self.request_id)
        self._client.accept(chosen.decode("latin-1") if chosen is not None else None, headers)

    def _splice(self, exchange: Exchange) -> SplicedCall:
        """Let an object take this one's place that has only what an open WebSocket needs."""
        assert self._ticket is not None  # noqa: S101  (it was admitted)
        heir = SplicedCall(
            exchange, self._client.splice(), self._reserved, self._gateway, self._route, self.apart(), self._ticket
        )
        self._gateway.exchanges.hand_over(self, heir)
        self.state = websocket_states.SPLICED
        self._ticket = self._exchange = None
        return heir

    def _converse(self, exchange: Exchange) -> Conversation:
        gateway, policy = self._gateway, self._route.policy
        self.state = TALKING
        client = self._client.open(policy.max_message_bytes, gateway.account)
        self._request_head, self._request = None, FORGOTTEN  # kilobytes, for as long as the WebSocket is open
        return Conversation(
            exchange, policy, client, account=gateway.account, metrics=gateway.metrics, record=self, call=self
        )

    def _relay(self) -> None:
        """Pass the service's answer to the client: it may ignore an offer to upgrade (RFC 9110 section 7.8)."""
        head = self._head
        if head is None or head.status > 599:
            self._give_up(errors.BadAnswerError(f"status {head.status if head is not None else 0} instead of 101"))
            return
        self.state, self.status, self.closed_by = RELAYING, head.status, "service"
        fields = refusal_fields(head, self._request, self._route.policy)
        self._client.refuse(head.status, fields, b"".join(self._body or ()))

    @override
    def _refuse(self, problem: problems.Problem, detail: str = "") -> None:
        self.state = REFUSED
        self.status, self.outcome, self.closed_by = problem.status, problem.code, "gateway"
        self._let_go()
        self._client.refuse(*page(self._request, problem, detail))

    # --- ending

    @override
    def _fail(self, error: errors.TunnelError, /, *, opened: bool = True) -> None:
        if self.state is ACCEPTING:
            self._error = self._error or error  # the conversation will say so
        elif self.state in (CHOOSING, OPEN, DECLINED) and not self._try_again(error, self, opened=opened):
            self._reset()
            self.detail = str(error)
            if (limit := limit_of_error(error)) is not None and not self.limit:
                self._gateway.metrics.limit_hit(limit, self)
            self._refuse(problems.refusal_of(error, sent=self._exchange is not None), problems.detail_of(error))

    def _give_up(self, error: errors.TunnelError) -> None:
        """Fail by our own decision, with an error that is not retryable."""
        self._stop_waiting()
        self._reset()
        self._fail(error)

    def _close(self, state: websocket_states.State) -> None:
        """Count, log, let go of everything; once."""
        if self.state in FINAL:
            return
        self.state = state
        self._stop_waiting()
        self._stop_timer()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.drop()
        else:
            self._reset()
        self._let_go()
        if self._ticket is not None:
            self._ticket.release()
        self._gateway.ended(self)
        records.end(self._gateway, self, self._route)

    def _let_go(self) -> None:
        """Of the body of a refusal, or of frames that came early."""
        self._body = None
        if self._held is not None:
            self._held.close()
            self._held = None

"""One HTTP request of a client, as plain calls: the sink of its exchange on one side, an `HttpClient` on the other.

No task and no await; only waiting for a link is a task. `tick`, about twice a second, holds all deadlines. The states,
and what may follow each, are in `http_states.py`. While the client has not taken 16 KiB, the exchange is paused: a
service gets its credit back only as the client's server takes the bytes. A broken answer is never ended cleanly.
"""

from tunnel.errors import BadAnswerError, EndedByOperatorError, StoppingError, TunnelError
from tunnel.http1 import is_repeatable
from tunnel.port import Headers, ResponseHead

from ..node.admission import Ticket
from ..node.exchange_item import ExchangeItem
from ..node.gateway import Gateway
from ..node.stalls import Lag, Lags
from ..node.stickiness import cookie_for
from ..observed import access
from ..observed.metrics import Limit, Stall, breaker_of, limit_of_error
from ..rules import problems
from ..rules.request import Request
from ..rules.routes import Route
from ..rules.shape import REQUEST_ID
from . import records
from .client_port import HttpClient
from .dates import with_date
from .delivery import PAUSE_BYTES, Delivering, is_whole
from .header_rules import BadRequestError, answer_fields, passes_unchanged, request_head, response_headers
from .http_deadlines import overdue
from .http_states import ANSWERING, BROKEN, CHOOSING, FINAL, LEFT, OPEN, OVER, REFUSED, TAKING, State
from .opening_call import BY_OPERATOR
from .refusals import page
from .room import WHY, error_of
from .upload import BodyTooLargeError, Upload


class HttpCall(Delivering):
    """One request with its answer. It is its own record: what it counts is what the access log says."""

    is_websocket = False
    limits_client = True

    __slots__ = ("_error", "_head", "_ticket", "_upload", "_whole_bytes")

    def __init__(self, gateway: Gateway, route: Route, request: Request, client: HttpClient) -> None:
        super().__init__(gateway, route, request, client)
        self._ticket: Ticket | None = None  # where its client has a limit
        self._upload: Upload | None = None  # of a request with a body
        self._head: ResponseHead | None = None
        self._whole_bytes = 0  # of the body of an answer that came whole
        self._error: Exception | None = None

    def begin(self) -> None:
        """Choose an upstream and open the exchange. To be called once; `client` is told what follows."""
        gateway, policy = self._gateway, self._route.policy
        gateway.exchanges.began(self)
        if gateway.drain.closing and not gateway.listeners:  # nobody stops listening for us: refuse what still comes
            self._refuse(problems.STOPPING)
            return
        try:
            head = request_head(self._request, policy.request_headers)
        except BadRequestError as error:
            self._refuse(problems.BAD_REQUEST, str(error))
            return
        if head.body_length != 0:
            stall = Stall(gateway.metrics.stalled_by_service)
            try:
                self._upload = Upload(head, self._client, policy.max_body_bytes, stall)
            except BodyTooLargeError as error:
                self._too_large(error)
                return
        if policy.max_requests_per_client is not None:
            ticket = gateway.admission.admit_request(self._route, self._request)
            if isinstance(ticket, problems.Problem):
                gateway.metrics.limit_hit(Limit.REQUESTS_CLIENT, self)
                self.closed_by = "gateway"
                self._refuse(ticket)
                return
            self._ticket = ticket
        self._choose(head, self)

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """The final head starts the answer; a 100 lets the request's body go."""
        self._answer_began = True
        if head.status >= 200:
            fields = self._begin_answer(head)
            if fields is not None:
                self._client.start(head.status, fields)
        elif head.status != 100:
            if head.status == 102:
                self._last_data = self._clock()  # the service says that it is at work
            self._client.interim(head.status, response_headers(head.headers))
        elif self._upload is not None:
            self._upload.continue_()

    def whole(self, status: int, headers: Headers, block: bytes, body: bytes, /) -> None:
        """The whole answer came in one call."""
        self._exchange = None  # it may be another call's by now
        self._answer_began = True
        size_bytes = len(body)
        if passes_unchanged(status, block, self._route.policy) and not self._gateway.drain.draining:
            self.head_at = self._clock()
            self.state, self.status = ANSWERING, status
            request_id = self.request_id.encode("ascii")
            block = with_date(headers, block)
            headers.append((REQUEST_ID, request_id))
            self._done = True
            if self._client.whole(status, headers, b"%bx-request-id: %b\r\n" % (block, request_id), body):
                self.bytes_down = size_bytes
                self._gateway.metrics.request_bytes_down += size_bytes
                self._close(OVER)
                return
        else:
            fields = self._begin_answer(ResponseHead(status, headers))
            if fields is None:
                return
            self._client.answer(status, fields, body)
        self._done = True
        self._whole_bytes = size_bytes
        if size_bytes >= PAUSE_BYTES:
            self._hold(size_bytes)

    def data(self, data: bytes, /) -> None:
        """Pass the bytes on, and hold them until the client's server took them."""
        size_bytes = len(data)
        if size_bytes < PAUSE_BYTES:
            self._client.send(data)
        elif self._client.pass_on(data):
            self._last_data = self._clock()
            self.bytes_down += size_bytes
            self._gateway.metrics.request_bytes_down += size_bytes
            return
        if self._hold(size_bytes) >= PAUSE_BYTES and self._exchange is not None:
            self._exchange.pause()

    def trailers(self, headers: Headers, /) -> None:
        """Passed on to clients that take them (RFC 9110 section 6.5.1 allows to drop them)."""
        self._client.trailers(response_headers(headers))

    def end(self) -> None:
        """The answer is complete."""
        self._done = True
        self._client.end()

    def failed(self, error: TunnelError, /) -> None:
        """The exchange is over, and not in order."""
        self._fail(error)

    def writable(self) -> None:
        """The service takes more of the body."""
        if self._upload is not None:
            self._upload.writable()

    # --- told by the client

    def body(self, data: bytes, /, *, last: bool) -> bool:
        """A part of the request's body came. False: no more of it is wanted."""
        upload, exchange = self._upload, self._exchange
        if self.state not in TAKING:
            return False
        if upload is None or upload.ended or (exchange is None and self.state is not CHOOSING):
            return True
        try:
            upload.pass_on(exchange, data, last=last)
        except BodyTooLargeError as error:
            self._too_large(error)
        except BadRequestError as error:
            self.spoil(problems.BAD_REQUEST, str(error))
        else:
            return self.state in TAKING
        return False

    def spoil(self, problem: problems.Problem, why: str, /) -> None:
        """The client's body is wrong, or comes too slowly."""
        if self.state in TAKING:
            if problem is problems.REQUEST_TIMEOUT:
                self._gateway.metrics.limit_hit(Limit.TIMEOUT_HEAD, self)
            self._refuse_body(BadRequestError(why), problem, why)

    def finished(self, size_bytes: int = 0, /) -> None:
        """The client's server took the rest of the answer, so many bytes of its body."""
        if size_bytes and self.state is ANSWERING:
            self.bytes_down += size_bytes
            self._gateway.metrics.request_bytes_down += size_bytes
        self._close(OVER)

    def left(self, why: str = "") -> None:
        """The client is gone; idempotent."""
        if self.state in FINAL:
            return
        if self.state is not REFUSED and not is_whole(self._head, self.method, self.bytes_down):
            self.outcome, self.closed_by, self.detail = "client_left", "client", why
        self._close(LEFT)

    def broke(self) -> None:
        """A fault of ours or of the server's ended the call."""
        if self.state not in FINAL:
            self.status, self.outcome = self.status or 500, problems.INTERNAL.code
            self._close(LEFT)

    # --- the gateway's side

    def stop(self, *, now: bool) -> None:
        """The gateway stops: requests finish, unless it is too late."""
        if now and self.state not in FINAL:
            self.closed_by = self.closed_by or "gateway"
            self._give_up(StoppingError("the gateway is stopping"))

    def end_by_operator(self) -> bool:
        """See `Exchanging`."""
        if self.state in (*FINAL, REFUSED):
            return False
        is_first = self.outcome != problems.ENDED_BY_OPERATOR.code
        self._end(EndedByOperatorError(BY_OPERATOR), problems.ENDED_BY_OPERATOR.code, BY_OPERATOR)
        return is_first

    def relieve(self, limit: Limit = Limit.HELD_HARD) -> None:
        """The process holds too much: end this call, which stalls, or holds the largest share."""
        if self.state in (*FINAL, REFUSED):
            return
        self._gateway.metrics.limit_hit(limit, self)
        error = error_of(limit, is_safe=self._exchange is None or self._is_repeatable())
        self._end(error, "broken_off", WHY[limit])

    def tick(self, now: float) -> None:
        """Hold the deadlines; `now` is the loop's time."""
        policy = self._route.policy
        if self._sending_since is not None:
            if self._held is None:
                self._hold(self._whole_bytes)
            if now - self._sending_since > policy.http_write_timeout:
                self._cut_client()
            return
        if (self._exchange is None and not self._done) or self._error is not None or self.state in FINAL:
            return
        if self._upload is None or not self._upload.waits_for_100:
            self._client.watch()
        late = overdue(
            policy, now, self._head, self._upload, opened_at=self._opened_at, last_data=self._last_data, done=self._done
        )  # fmt: skip
        if late is not None:
            self._gateway.metrics.limit_hit(late.limit, self)
            if not late.by_client:
                self.closed_by = "gateway"
            self._give_up(late.error)

    def lags(self) -> Lags:
        """See `Exchanging`."""
        upload, exchange = self._upload, self._exchange
        if upload is None or exchange is None or not upload.stalled:
            return self._lag_of_client(), None
        return self._lag_of_client(), Lag(upload.progress_at, exchange.held_bytes)

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        """See `Exchanging`."""
        if self._upload is not None:
            self.bytes_up = self._upload.bytes_sent
        return super().item(identity, began_at=began_at, now=now)

    def __repr__(self) -> str:
        return f"<HttpCall to {self._route.target}, {self.state.value}, {self.held_bytes} bytes held>"

    # --- inside

    def _opened(self, now: float) -> None:
        self.state = OPEN
        if self._upload is not None and self._exchange is not None:
            self._upload.begin(self._exchange, now, self._keeps_in)

    def _may_repeat_all(self) -> bool:
        return self._upload is None or self._upload.rewind()

    def _is_repeatable(self) -> bool:
        return self._upload is None and is_repeatable(self.method.encode("ascii"))

    def _begin_answer(self, head: ResponseHead) -> Headers | None:
        """The fields for the client; None where the answer cannot be passed on, and the call is refused."""
        if head.status > 599:
            self._reset()
            self._fail(BadAnswerError(f"status {head.status}"))  # no server could send it on
            return None
        if self._upload is not None:
            self._upload.let_go()
        self._last_data = self.head_at = self._clock()
        self._head, self.state, self.status = head, ANSWERING, head.status
        policy = self._route.policy
        fields = answer_fields(head, self.request_id, policy.response_headers, close=self._gateway.drain.draining)
        if policy.sticky == "cookie" and self.upstream is not None:
            fields.extend(cookie_for(self._route, self._request, self.upstream))
        return fields

    def _refuse(self, problem: problems.Problem, detail: str = "") -> None:
        """Answer with a page of ours. `detail` is shown."""
        self.state = REFUSED
        self.status, self.outcome = problem.status, problem.code
        close = self._gateway.draining or problem is problems.BAD_REQUEST
        self._client.answer(*page(self._request, problem, detail, close=close))

    def _fail(self, error: TunnelError, /, *, opened: bool = True) -> None:
        """Try again where that is safe, answer with an error where nothing was sent, else break the answer off."""
        if self._error is not None or self.state in FINAL or self.state is REFUSED:
            return
        if self.state is ANSWERING:
            if self._done or not self._client.retract():
                self._break_off(error)
                return
            self.status = 0  # nothing was sent yet
        self.state = CHOOSING  # until another attempt opens, or we answer
        if self._try_again(error, self, opened=opened):
            return
        self._abandon(error)
        self._refuse(problems.refusal_of(error, sent=self._exchange is not None), problems.detail_of(error))

    def _abandon(self, error: Exception) -> None:
        """The exchange is over, for this reason."""
        self._error, self.detail = error.with_traceback(None), str(error)
        self._reset()
        if (limit := limit_of_error(error)) is not None and not self.limit:
            self._gateway.metrics.limit_hit(limit, self)

    def _break_off(self, error: Exception) -> None:
        """An answer that has begun ends here, and its client sees that it is incomplete."""
        if self._done:
            return
        self._abandon(error)
        is_by_operator = isinstance(error, EndedByOperatorError)
        self.outcome = problems.ENDED_BY_OPERATOR.code if is_by_operator else "broken_off"
        self.closed_by = self.closed_by or breaker_of(error)
        self._client.break_off(str(error))

    def _end(self, error: TunnelError, outcome: str, detail: str) -> None:
        """End it by our own decision: with `error`, or where its client does not read the answer, by cutting it off."""
        self.closed_by = "gateway"
        if self._sending_since is None or self.state is not ANSWERING:
            self._give_up(error)
            return
        self.outcome, self.detail = outcome, detail
        self._reset()
        self._client.abort()  # nothing else would reach it
        self._close(BROKEN)

    def broken_off(self) -> None:
        """The client was given what came before the fault, and its connection is being cut."""
        self._close(BROKEN)

    def _too_large(self, error: BodyTooLargeError) -> None:
        self._gateway.metrics.limit_hit(Limit.BODY_SIZE, self)
        self.closed_by = "gateway"
        self._refuse_body(error, problems.BODY_TOO_LARGE)

    def _refuse_body(self, error: Exception, problem: problems.Problem, detail: str = "") -> None:
        """The request's body is wrong. `detail` is shown."""
        if self.state is ANSWERING:
            self._break_off(error)
            return
        self._stop_waiting()
        self._abandon(error)
        self._refuse(problem, detail)

    def _give_up(self, error: TunnelError) -> None:
        self._stop_waiting()
        self._reset()
        self._retried = True
        self._fail(error)
        if self._sending_since is not None:
            self._cut_client()

    def _cut_client(self) -> None:
        """The client takes nothing: cut its connection where the server lets us, and end the call in any case."""
        self._gateway.metrics.limit_hit(Limit.TIMEOUT_WRITE, self)
        self._reset()
        self._client.abort()
        self.left("took nothing for too long")

    def _close(self, state: State) -> None:
        """Count, log, let go of everything; once."""
        if self.state in FINAL:
            return
        self.state = state
        upload, gateway, now = self._upload, self._gateway, self._clock()
        if self._waiting is not None:
            self._stop_waiting()
        if not self._done or (upload is not None and not upload.ended):
            self._reset()
        if self._held is not None:
            self._held.close()
        if upload is not None:
            self.bytes_up, self.stalled_by_service_seconds = upload.close(now)
            gateway.metrics.request_bytes_up += self.bytes_up
        if self._sending_since is not None:
            self._count_stall(now - self._sending_since)
        if self._ticket is not None:
            self._ticket.release()
        self.ended_at = now
        gateway.exchanges.ended(self)
        gateway.metrics.ended(self)
        access.emit(self)
        if self._route.published_by is not None:
            records.show(self._route, self)

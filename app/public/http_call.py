"""One HTTP request of a client, between the port's sink and exchange on one side and the client on the other.

`HttpCall.run` sends the answer while `Upload` reads the request's body. The exchange is paused while a frame or more
waits for the client, so a service gets credit back only as `await send()` takes its bytes. `tick` runs about twice a
second and checks all deadlines: there is no timer per request.

An incomplete answer ends with `BrokenOffError`, never cleanly.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable
from typing import Any

from tunnel.account import Holding
from tunnel.errors import BadAnswerError, ClientTooSlowError, NoRoomError, StoppingError, TooSlowError, TunnelError
from tunnel.http1 import UnsendableHeadError, is_repeatable
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead, Upstream

from ..node.gateway import Gateway
from ..node.stickiness import cookie_for
from ..observed.access import Record
from ..observed.metrics import Limit, Stall, limit_of_error
from ..observed.request_id import with_request_id
from ..rules import problems
from ..rules.policy import Policy
from ..rules.request import Request
from ..rules.routes import Route
from . import records
from .client_port import HttpClient
from .header_rules import BadRequestError, is_event_stream, request_head, response_headers
from .refusals import page
from .upload import BodyTooLargeError, ClientLeftError, Upload
from .waiting import Waiter

logger = logging.getLogger("gateway")

_PAUSE_BYTES = 16 * 1024
"""From here on the service gets no more credit. Less than a frame, so a small answer is still sent in one write."""


class BrokenOffError(Exception):
    """Ends an answer that has begun. The server cuts the connection, so the client sees that it is incomplete."""


class HttpCall:
    """One request and its answer: the sink of the exchange, and the coroutine that sends to the client."""

    is_websocket = False

    __slots__ = (
        "_answer_began", "_chunks", "_client", "_done", "_error", "_exchange", "_gateway", "_head", "_held",
        "_last_data", "_record", "_request", "_request_head", "_route", "_runner", "_sending_since",
        "_stalled_by_client", "_upload", "_waiter", "started", "upstream",
    )  # fmt: skip

    def __init__(
        self, gateway: Gateway, route: Route, request: Request, head: RequestHead, client: HttpClient, record: Record
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._stalled_by_client = Stall(gateway.metrics.stalled_by_client)
        self._route = route
        self._request = request
        self._request_head = head
        self._client = client
        stalled_by_service = Stall(gateway.metrics.stalled_by_service)
        self._upload = Upload(head, client, route.policy.max_body_bytes, self._fail, stalled_by_service)
        self._exchange: Exchange | None = None
        self._head: ResponseHead | None = None
        self._chunks: list[bytes] = []
        self._held = Holding(gateway.account)
        self._answer_began = False
        self._done = False
        self._error: Exception | None = None
        self._waiter = Waiter()
        self._runner: asyncio.Task[Any] | None = None
        self._sending_since: float | None = None
        self._last_data = 0.0
        self.upstream: Upstream | None = None
        self.started = False

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """Keep the final head; a 100 releases the request's body."""
        self._answer_began = True
        if head.status >= 200:
            self._head = head
            self._last_data = asyncio.get_running_loop().time()
            self._waiter.wake()
        elif head.status == 100:
            self._upload.continue_()

    def data(self, data: bytes, /) -> None:
        """Hold the bytes until the client's transport has taken them."""
        self._chunks.append(data)
        held = self._held
        held.add(len(data))
        if held.size_bytes >= _PAUSE_BYTES and self._exchange is not None:
            self._exchange.pause()
        self._waiter.wake()

    def trailers(self, headers: Headers, /) -> None:
        """Dropped, as RFC 9110 section 6.5.1 allows: the ASGI servers we run under cannot send trailers."""

    def end(self) -> None:
        """The answer is complete."""
        self._done = True
        self._waiter.wake()

    def failed(self, error: Exception, /) -> None:
        """The exchange is over."""
        if self._error is None and not self._done:
            self._error = error
            self._waiter.wake()

    def writable(self) -> None:
        """The exchange can take more of the body."""
        self._upload.writable()

    # --- the gateway's side

    def stop(self, *, now: bool) -> None:
        """The gateway is stopping: let the request finish, or end it if `now`."""
        if now:
            self._record.closed_by = self._record.closed_by or "gateway"
            self._fail(StoppingError("the gateway is stopping"))
            if self._sending_since is not None:
                self._cut_client()

    def relieve(self) -> None:
        """The process holds too many bytes: end this exchange."""
        self._gateway.metrics.limit_hit(Limit.HELD_HARD, self._record)
        self._record.closed_by = "gateway"
        self._fail(NoRoomError("too much was held for this exchange"))
        if self._sending_since is not None:
            self._cut_client()

    def tick(self, now: float) -> None:
        """Check the deadlines; `now` is the loop's time."""
        policy = self._route.policy
        if self._sending_since is not None:
            if now - self._sending_since > policy.http_write_timeout:
                self._cut_client()
        elif self._exchange is None or self._error is not None:
            return
        else:
            self._upload.watch()
            self._check_deadlines(now, policy)

    def _check_deadlines(self, now: float, policy: Policy) -> None:
        if self._upload.stalled and now - self._upload.progress_at > policy.http_write_timeout:
            self._exceeded(Limit.TIMEOUT_WRITE, "the service does not read the request body")
        elif self._head is None:
            if now - self._upload.progress_at > policy.response_head_timeout:
                self._no_head(policy.response_head_timeout)
        elif (
            not self._done
            and now - max(self._last_data, self._upload.progress_at) > policy.idle_timeout
            and not is_event_stream(self._head.headers)
        ):
            self._exceeded(Limit.TIMEOUT_IDLE, f"no byte of the answer for {policy.idle_timeout:g} s")

    @property
    def held_bytes(self) -> int:
        """Bytes held by this exchange, here and in its stream."""
        return self._held.size_bytes + (self._exchange.held_bytes if self._exchange is not None else 0)

    def __repr__(self) -> str:
        state = "answering" if self.started else "waiting"
        return f"<HttpCall to {self._route.target}, {state}, {self.held_bytes} bytes held>"

    # --- the coroutine

    async def run(self) -> None:
        """Carry the request until its end. Raises TunnelError before the answer began, BrokenOffError after that."""
        self._runner = asyncio.current_task()
        length, limit = self._request_head.body_length, self._route.policy.max_body_bytes
        if length is not None and limit is not None and length > limit:
            raise BodyTooLargeError(f"{length} bytes announced")
        try:
            head = await self._open()
            await self._start_answer(head)
            await self._answer()
        finally:
            self._held.close()
            if not (self._done and self._upload.ended):
                self._reset()
            await self._upload.aclose()

    async def _open(self) -> ResponseHead:
        """Start the exchange and wait for the final head. Try once more after a failure, if that is safe."""
        head = self._request_head
        repeatable = self._upload.ended and is_repeatable(head.method)
        avoid: Upstream | None = None
        for attempt in (1, 2):
            upstream = self.upstream = await self._gateway.choose(self._route, self._request, avoid=avoid)
            self._record.via(upstream.label, upstream.agent_id, upstream.dialect, asyncio.get_running_loop().time())
            opened = False
            try:
                self._exchange = upstream.open(head, self, fresh=attempt > 1)
                opened = True
                self._upload.begin(self._exchange)
                while self._head is None:
                    if self._error is not None:
                        raise self._error
                    await self._waiter.wait()
            except UnsendableHeadError as error:
                raise BadRequestError(str(error)) from None
            except TunnelError as error:
                self._reset()
                # If nothing was opened, nothing was sent: any request may be tried again.
                again = error.retryable and not self._answer_began and (repeatable or not opened)
                if attempt == 2 or not again:
                    raise
                logger.info("%s: tried again on another stream: %s", upstream.label, error)
                avoid, self._error = upstream, None
            else:
                return self._head
        raise AssertionError  # the second attempt returns or raises

    async def _start_answer(self, head: ResponseHead) -> None:
        if self._error is not None:
            raise self._error
        if head.status > 599:
            raise BadAnswerError(f"status {head.status}")  # no server can send that
        record = self._record
        record.head_at = asyncio.get_running_loop().time()
        record.status = head.status
        # A 304 may give the length of a body that it does not have; servers would wait for that body.
        headers = response_headers(head.headers, keep_length=head.status != 304)
        if self._gateway.draining:
            headers.append((b"connection", b"close"))
        if self.upstream is not None:
            headers.extend(cookie_for(self._route, self._request, self.upstream))
        headers = with_request_id(self._route.policy.response_headers.apply(headers), record.request_id)
        await self._pass_on(self._client.start(head.status, headers))
        self.started = True

    async def _answer(self) -> None:
        record = self._record
        while True:
            chunks, self._chunks = self._chunks, []
            done = self._done
            if chunks or done:
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                record.bytes_down += len(body)
                self._gateway.metrics.request_bytes_down += len(body)
                await self._pass_on(self._client.send(body, more=not done))
                if done and self._error is None:
                    return
            if isinstance(self._error, ClientLeftError):
                raise self._error
            if self._error is not None:
                if (limit := limit_of_error(self._error)) is not None and not record.limit:
                    self._gateway.metrics.limit_hit(limit, record)
                raise BrokenOffError(str(self._error)) from self._error
            if chunks:
                self._held.add(-len(body))
                self._last_data = asyncio.get_running_loop().time()
                if not self._chunks and self._exchange is not None:
                    self._exchange.resume()
            if not self._chunks and not self._done and self._error is None:
                await self._waiter.wait()

    async def _pass_on(self, sending: Awaitable[None]) -> None:
        now = self._sending_since = asyncio.get_running_loop().time()
        self._stalled_by_client.begin(now)
        try:
            await sending
        except OSError as error:  # the client has left
            raise ClientLeftError from error
        except asyncio.CancelledError:
            if not isinstance(self._error, ClientLeftError) or self._runner is None:
                raise
            self._runner.uncancel()  # _cut_client cancelled us
            raise ClientLeftError("the client did not read for too long") from None
        finally:
            self._sending_since = None
            self._stalled_by_client.end(asyncio.get_running_loop().time())

    def _fail(self, error: Exception) -> None:
        if isinstance(error, BodyTooLargeError):
            self._gateway.metrics.limit_hit(Limit.BODY_SIZE, self._record)
            self._record.closed_by = "gateway"
        self._reset()
        self.failed(error)

    def _no_head(self, seconds: float) -> None:
        if self._upload.ended or self._upload.stalled:
            self._exceeded(Limit.TIMEOUT_HEAD, f"no answer within {seconds:g} s")
        else:
            self._gateway.metrics.limit_hit(Limit.TIMEOUT_HEAD, self._record)
            self._fail(ClientTooSlowError(f"no byte of the request body for {seconds:g} s"))

    def _exceeded(self, limit: Limit, text: str) -> None:
        self._gateway.metrics.limit_hit(limit, self._record)
        self._record.closed_by = "gateway"
        self._fail(TooSlowError(text))

    def _cut_client(self) -> None:
        """The client does not read: abort its connection if the server can, else cancel the coroutine."""
        self._gateway.metrics.limit_hit(Limit.TIMEOUT_WRITE, self._record)
        self._reset()
        self._error = ClientLeftError("the client did not read for too long")
        self._sending_since = None
        if not self._client.abort() and self._runner is not None:
            self._runner.cancel()

    def _reset(self) -> None:
        if self._exchange is not None:
            self._exchange.reset()

    def sum_up(self) -> None:
        """Write the counts into the record."""
        record = self._record
        record.bytes_up = self._upload.bytes_sent
        self._gateway.metrics.request_bytes_up += self._upload.bytes_sent
        record.stalled_by_client_seconds = self._stalled_by_client.seconds
        record.stalled_by_service_seconds = self._upload.stall.seconds


async def carry(gateway: Gateway, route: Route, request: Request, client: HttpClient) -> None:
    """Carry one HTTP request for a routed host to its service. Any exception it raises must cut the connection."""
    record = records.begin(request, route.target)

    async def answer(problem: problems.Problem, detail: str = "") -> None:
        record.status, record.outcome = problem.status, problem.code
        with contextlib.suppress(OSError):
            close = gateway.draining or problem is problems.BAD_REQUEST
            await client.answer(*page(request, problem, detail, close=close))

    call: HttpCall | None = None
    try:
        if gateway.closing and not gateway.listeners:  # the server still accepts requests: refuse them here
            await answer(problems.STOPPING)
            return
        head = request_head(request)
        head.headers = with_request_id(route.policy.request_headers.apply(head.headers), request.request_id)
        call = HttpCall(gateway, route, request, head, client, record)
        gateway.began(call)
        await call.run()
    except ClientLeftError as error:
        record.outcome, record.closed_by, record.detail = "client_left", "client", str(error)
    except BadRequestError as error:
        await answer(problems.BAD_REQUEST, str(error))
    except BodyTooLargeError as error:
        record.detail = str(error)
        if not record.limit:
            gateway.metrics.limit_hit(Limit.BODY_SIZE, record)
        await answer(problems.BODY_TOO_LARGE)
    except TunnelError as error:
        await answer(records.failed(gateway, record, error))
    except BrokenOffError as error:
        record.outcome, record.detail = "broken_off", str(error)
        record.closed_by = record.closed_by or "service"
        raise
    except Exception:
        record.status, record.outcome = record.status or 500, problems.INTERNAL.code
        raise
    finally:
        if call is not None:
            gateway.ended(call)
            call.sum_up()
        records.end(gateway, record)

"""The ASGI door for HTTP: a thin adapter between receive/send and the port's sink/exchange.

One coroutine sends the answer; a second one reads the request's body and then watches for the client to leave. The
watcher of a request without a body starts only when the answer is not there at once. The sink is paused while the
coroutine holds more than a frame, so a service gets its credit back only as `await send()` takes its bytes.

A broken answer is broken off by raising `BrokenOffError`, never ended cleanly.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any

from app import access, problems
from app.asgi import Receive, Scope, Send, answer_problem
from app.gateway import Gateway
from app.heads import BadRequestError, request_head, response_headers
from app.routes import Route
from tunnel.errors import StoppingError, TooSlowError, TunnelError
from tunnel.http1 import BadRequestError as UnsendableError
from tunnel.http1 import BodyLengthError, is_repeatable
from tunnel.link import Link
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead

logger = logging.getLogger("gateway")

_WATCH_AFTER_SECONDS = 0.05
"""A request without a body that is answered sooner never costs a second task."""

_PAUSE_BYTES = 16 * 1024
"""Held beyond this, the service gets no more credit. Less than a frame: a small answer is sent whole, in one go."""

_CONTINUE_SECONDS = 1.0
"""How long a body waits for the service's 100 (RFC 9110 section 10.1.1: not indefinitely)."""


class BrokenOffError(Exception):
    """Ends a response that has begun: the server cuts the connection, so the client sees it is incomplete."""


class ClientLeftError(Exception):
    """The client went away; nobody is left to be told."""


class HttpExchange:
    """One request with its answer: the sink of its exchange, and the coroutine that feeds the client."""

    __slots__ = (
        "_answer_began",
        "_body_wanted",
        "_chunks",
        "_deadline",
        "_done",
        "_error",
        "_exchange",
        "_full",
        "_gateway",
        "_head",
        "_held_bytes",
        "_receive",
        "_request",
        "_send",
        "_task",
        "_timeout",
        "_upload_ended",
        "_upload_waiter",
        "_waiter",
        "_watch",
        "bytes_received",
        "bytes_sent",
        "link",
        "started",
        "status",
    )

    def __init__(self, gateway: Gateway, request: RequestHead, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._request = request
        self._receive = receive
        self._send = send
        self._timeout = gateway.settings.response_head_timeout
        self._exchange: Exchange | None = None
        self._head: ResponseHead | None = None
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._full = False  # the stream is above its mark
        self._answer_began = False
        self._done = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._upload_waiter: asyncio.Future[None] | None = None
        self._upload_ended = request.body_length == 0
        self._body_wanted = True
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self.link: Link | None = None
        self.started = False
        self.status = 0
        self.bytes_received = 0  # of the request's body
        self.bytes_sent = 0  # of the answer's body

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """Keep the final head; a 100 lets the body go."""
        self._answer_began = True
        if head.status >= 200:
            self._head = head
            self._wake()
        elif head.status == 100:
            self._want_body()

    def data(self, data: bytes, /) -> None:
        """Hold the bytes until the client's transport took them."""
        self._chunks.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _PAUSE_BYTES and self._exchange is not None:
            self._exchange.pause()
        self._wake()

    def trailers(self, headers: Headers, /) -> None:
        """ASGI servers here cannot send them: dropped (RFC 9110 section 6.5.1 allows it)."""

    def end(self) -> None:
        """The answer is complete."""
        self._done = True
        self._wake()

    def failed(self, error: Exception, /) -> None:
        """The exchange is over."""
        if self._error is None and not self._done:
            self._error = error
            self._wake()

    def writable(self) -> None:
        """More of the body is welcome."""
        self._full = False
        if self._upload_waiter is not None and not self._upload_waiter.done():
            self._upload_waiter.set_result(None)

    def stop(self, *, now: bool) -> None:
        """The gateway stops: requests finish, unless it is too late."""
        if now:
            self._give_up(StoppingError("the gateway is stopping"))

    # --- the coroutine

    async def run(self, route: Route) -> None:
        """Carry the request to its end. Raises TunnelError while nothing was sent, BrokenOffError after that."""
        try:
            await self._open(route)
            head = self._head
            assert head is not None  # noqa: S101  (_open returns only with one)
            await self._answer(head)
        finally:
            self._finish()

    async def _open(self, route: Route) -> None:
        """Start the exchange and wait for the final head; once more after a lost race, if it is safe."""
        request = self._request
        repeatable = self._upload_ended and is_repeatable(request.method)
        avoid: Link | None = None
        for attempt in (1, 2):
            choice = await self._gateway.choose(route.target, avoid=avoid)
            self.link = choice.link
            opened = False
            try:
                self._exchange = choice.upstream.open(request, self, fresh=attempt > 1)
                opened = True
                self._begin_upload()
                self._deadline = time.monotonic() + self._timeout
                await self._wait_for_head()
            except UnsendableError as error:
                raise BadRequestError(str(error)) from None
            except TunnelError as error:
                self._reset()
                # Where nothing could be opened nothing was sent, so any request may be tried elsewhere.
                again = error.retryable and not self._answer_began and (repeatable or not opened)
                if attempt == 2 or not again:
                    raise
                logger.info("%s: tried again on another stream: %s", choice.link.name, error)
                avoid, self._error = choice.link, None
            else:
                return

    async def _wait_for_head(self) -> None:
        while self._head is None:
            if self._error is not None:
                raise self._error
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TooSlowError(f"no answer within {self._timeout:g} s")
            timer = asyncio.get_running_loop().call_later(left, self._wake)
            try:
                await self._wait()
            finally:
                timer.cancel()

    async def _answer(self, head: ResponseHead) -> None:
        status = self.status = head.status
        # 304 may announce the length of what it does not send; servers would wait for it.
        headers = response_headers(head.headers, keep_length=status != 304)
        start = {"type": "http.response.start", "status": status, "headers": headers}
        if self._error is None:
            await self._pass_on(start)
            self.started = True
        while True:
            if not self.started and self._error is not None:
                raise self._error
            chunks, self._chunks = self._chunks, []
            done = self._done
            if chunks or done:
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self.bytes_sent += len(body)
                await self._pass_on({"type": "http.response.body", "body": body, "more_body": not done})
                if done:
                    return
            if isinstance(self._error, ClientLeftError):
                raise self._error
            if self._error is not None:
                raise BrokenOffError(str(self._error)) from self._error
            if chunks and self._exchange is not None:
                self._held_bytes = sum(map(len, self._chunks))
                self._exchange.resume()
            if not self._chunks and not self._done and self._error is None:
                await self._wait()

    async def _pass_on(self, message: dict[str, Any]) -> None:
        try:
            await self._send(message)
        except OSError as error:  # ASGI 2.4: the client has left
            raise ClientLeftError from error

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _give_up(self, error: Exception) -> None:
        self._reset()
        self.failed(error)

    def _reset(self) -> None:
        if self._exchange is not None:
            self._exchange.reset()

    def _finish(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._task is not None:
            self._task.cancel()
        if not (self._done and self._upload_ended):
            self._reset()

    # --- the request's body, and the client that leaves

    def _begin_upload(self) -> None:
        if self._upload_ended and self._exchange is not None:
            self._exchange.end()
        if self._task is not None or self._watch is not None:
            return  # the second attempt of a request without a body: the first one's watcher goes on
        if not self._upload_ended:
            self._body_wanted = not any(
                name == b"expect" and value.lower() == b"100-continue" for name, value in self._request.headers
            )
            self._begin_watch()
        else:
            self._watch = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, self._begin_watch)

    def _begin_watch(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._upload())

    def _want_body(self) -> None:
        self._body_wanted = True
        self.writable()

    async def _upload(self) -> None:
        """Pass the body on, then wait for the client to leave."""
        try:
            if not self._body_wanted:
                timer = asyncio.get_running_loop().call_later(_CONTINUE_SECONDS, self._want_body)
                try:
                    await self._wait_to_write()
                finally:
                    timer.cancel()
            while True:
                # Also while the stream is full: one message ahead, or the client could leave unnoticed.
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._give_up(ClientLeftError())
                    return
                if self._upload_ended or self._exchange is None:
                    continue
                if self._full:
                    await self._wait_to_write()
                body = message.get("body", b"")
                if body:
                    self.bytes_received += len(body)
                    self._full = not self._exchange.send_data(body)
                    self._deadline = time.monotonic() + self._timeout
                if not message.get("more_body", False):
                    self._exchange.end()
                    self._upload_ended = True
        except BodyLengthError as error:
            self._give_up(BadRequestError(str(error)))
        except Exception:  # a server's receive may raise what it likes: the exchange is over
            logger.exception("reading the request's body failed")
            self._give_up(ClientLeftError())

    async def _wait_to_write(self) -> None:
        waiter = self._upload_waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._upload_waiter = None


async def carry(gateway: Gateway, route: Route, scope: Scope, raw_path: bytes, receive: Receive, send: Send) -> None:
    """Carry one HTTP request of a routed host to its service. Raises BadRequestError for a malformed one."""
    began = time.perf_counter()
    exchange = HttpExchange(gateway, request_head(scope, gateway.settings, raw_path), receive, send)
    gateway.began(exchange)
    outcome = ""
    try:
        await exchange.run(route)
    except ClientLeftError:
        outcome = "client left"
    except TunnelError as error:
        problem = problems.problem_of(error)
        outcome = f"{problem.code}: {error}"
        exchange.status = problem.status
        with contextlib.suppress(OSError):
            await answer_problem(problem, scope, send)
    except BrokenOffError as error:
        outcome = f"broken off: {error}"
        raise
    finally:
        gateway.ended(exchange)
        access.request(scope, route, exchange.link, exchange.status, exchange.bytes_received, exchange.bytes_sent,
                       time.perf_counter() - began, outcome)  # fmt: skip

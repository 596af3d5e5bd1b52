"""Reads a request's body from the client into the exchange, then watches for the client to leave.

Reads only while the exchange has room, so a service that does not read slows its client down. For a request without a
body the watcher starts only if the answer takes a while, so most requests never cost a second task.
"""

import asyncio
import logging
from collections.abc import Callable

from tunnel.http1 import BodyLengthError
from tunnel.port import Exchange, RequestHead

from ..observed.metrics import Stall
from .client_port import HttpClient
from .header_rules import BadRequestError
from .waiting import Waiter

logger = logging.getLogger("gateway")

_CONTINUE_SECONDS = 1.0
"""How long a body waits for the service's 100. RFC 9110 section 10.1.1: not indefinitely."""


class ClientLeftError(Exception):
    """The client has left; there is nobody to answer."""


class BodyTooLargeError(Exception):
    """The body is longer than the route allows."""


class Upload:
    """The body of one request. Calls `failed` at most once, with the error that ends the exchange."""

    __slots__ = (
        "_client", "_exchange", "_failed", "_limit", "_task", "_waiter", "_waits_for_100",
        "bytes_sent", "ended", "progress_at", "stall", "stalled",
    )  # fmt: skip

    def __init__(
        self, head: RequestHead, client: HttpClient, limit_bytes: int | None, failed: Callable[[Exception], None],
        stall: Stall,
    ) -> None:  # fmt: skip
        self._client = client
        self._limit = limit_bytes
        self._failed = failed
        self.stall = stall
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiter = Waiter()
        self.ended = head.body_length == 0
        """The exchange has the whole body."""
        self.stalled = False
        """The exchange is full because the service does not read."""
        self._waits_for_100 = not self.ended and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in head.headers
        )
        self.bytes_sent = 0
        self.progress_at = 0.0
        """The loop's time when the exchange last took bytes."""

    def begin(self, exchange: Exchange) -> None:
        """Send the body to `exchange`. A request without a body calls it again for the second attempt."""
        self._exchange = exchange
        self.progress_at = asyncio.get_running_loop().time()
        if self.ended:
            exchange.end()
        else:
            self.watch()

    def watch(self) -> None:
        """Start the reading task if there is none. `HttpCall.tick` calls it for a request without a body."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def continue_(self) -> None:
        """The service's 100 arrived, or we stop waiting for it."""
        if self._waits_for_100:
            self._waits_for_100 = False
            self._waiter.wake()

    def writable(self) -> None:
        """The exchange has room again."""
        self.stalled = False
        self.progress_at = asyncio.get_running_loop().time()
        self.stall.end(self.progress_at)
        self._waiter.wake()

    async def aclose(self) -> None:
        """Stop reading."""
        self.stall.end(asyncio.get_running_loop().time())
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        try:
            if self._waits_for_100:
                timer = asyncio.get_running_loop().call_later(_CONTINUE_SECONDS, self.continue_)
                try:
                    await self._waiter.wait()
                finally:
                    timer.cancel()
            while True:
                if self.stalled:
                    await self._waiter.wait()
                part = await self._client.receive()
                if part is None:
                    self._failed(ClientLeftError())
                    return
                if not self.ended:
                    body, more = part
                    self._pass_on(body, last=not more)
        except (BodyTooLargeError, BadRequestError) as error:
            self._failed(error)
        except Exception:  # a server's receive may raise anything; it ends the exchange
            logger.exception("reading a request's body failed")
            self._failed(ClientLeftError())

    def _pass_on(self, body: bytes, *, last: bool) -> None:
        assert self._exchange is not None  # noqa: S101  (begin comes first)
        try:
            if body:
                self.bytes_sent += len(body)
                if self._limit is not None and self.bytes_sent > self._limit:
                    raise BodyTooLargeError(f"more than {self._limit} bytes")
                self.progress_at = asyncio.get_running_loop().time()
                self.stalled = not self._exchange.send_data(body)
                if self.stalled:
                    self.stall.begin(self.progress_at)
            if last:
                self._exchange.end()
                self.ended = True
                self.stalled = False
        except BodyLengthError as error:
            raise BadRequestError(str(error)) from None

"""A WebSocket after the service's 101: messages on the client's side, RFC 6455 frames on the service's.

Two coroutines, one for each direction; whichever ends first ends both. Close codes and reasons cross (design, section
6, rule 5): what the service closes with reaches the client, and the other way round; 1005 crosses as an empty close,
a vanished peer as 1011, a lost agent as 1012. The codec is the consumer of the service's bytes: it assembles under a
cap, so a message larger than a window passes; while whole messages wait for the client, the exchange is paused and no
credit goes back. `tick` holds all deadlines.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

from app import access, problems
from app.access import Record
from app.asgi import Receive, Scope, Send, awaited, cut_off
from app.mailbox import Mailbox, size_of
from app.metrics import Limit, Metrics, Stall
from app.policy import Policy, rate_limit
from tunnel import websocket
from tunnel.account import Account
from tunnel.errors import LinkLostError, TunnelError
from tunnel.port import Exchange

logger = logging.getLogger("gateway")

_CLOSE_SECONDS = 5.0
"""How long the service may take to answer our close frame before its stream is reset."""

_TURN_MESSAGES = 64
"""After so many messages without a wait the other exchanges have their turn."""


class Conversation:
    """One open WebSocket. The record says in the end who closed it, how, and what passed."""

    def __init__(
        self, exchange: Exchange, policy: Policy, scope: Scope, receive: Receive, send: Send, *,
        account: Account, metrics: Metrics, record: Record,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._policy = policy
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._record = record
        loop = asyncio.get_running_loop()
        self._now: Callable[[], float] = loop.time
        self._codec = websocket.Connection(max_message_bytes=policy.max_message_bytes)
        self._mailbox = Mailbox(account)
        self._close: tuple[int, str] | None = None  # what the client is to be closed with, after the messages
        self._service_ended = False
        self._lost = False  # nothing can be written to the service any more
        self._parting = False  # the client is gone: what the service still says is dropped
        self._in_order = False  # the closing handshake was completed: nothing to reset
        self._full = False  # the stream is above its mark
        self._cut = False  # the client cannot be told anything any more
        self._over = asyncio.Event()
        self._ahead: asyncio.Task[Mapping[str, Any]] | None = None  # the client's next message, while it is slowed
        self._waiter: asyncio.Future[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._runner = asyncio.current_task()
        self._sending_since: float | None = None
        self._full_since = 0.0
        self._active_at = loop.time()
        self._pinged = False
        self._stalled_by_client = Stall(metrics.stalled_by_client)
        self._stalled_by_service = Stall(metrics.stalled_by_service)
        self._logs_messages = access.logs_messages()

    # --- told by the exchange

    def take(self, data: bytes) -> None:
        """Frames of the service."""
        for event in self._codec.receive_data(data):
            match event:
                case websocket.Message():
                    self._mailbox.put(event.data, self._now())
                case websocket.Closed():
                    self._end(event.code, event.reason, "service")
                case websocket.Failed():
                    if event.code == 1009:
                        self._hit(Limit.MESSAGE_SIZE)
                    self._end(1009 if event.code == 1009 else 1011, event.reason, "gateway")
                case _:
                    pass  # pings are answered by the codec; pongs show that the service is there
        self._active_at = self._now()
        self._pinged = False
        self._flush()
        self._mailbox.assembling(self._codec.buffered_bytes)
        if self._mailbox and self._close is None:
            self._exchange.pause()
        self._wake()

    def service_ended(self) -> None:
        """The service ended its stream; in order only after a close frame."""
        self._service_ended = True
        self._end(1011, "service vanished", "service")

    def failed(self, error: TunnelError) -> None:
        """The exchange is over."""
        self._lost = self._service_ended = True
        lost_link = isinstance(error, LinkLostError)
        reason = "connection to the cluster lost" if lost_link else "connection to the service lost"
        self._record.detail = self._record.detail or str(error)
        self._end(problems.problem_of(error).close_code, reason, "gateway" if lost_link else "service")
        self.writable()

    def writable(self) -> None:
        """The stream has drained: owed answers first, then the client's next message."""
        self._full = False
        self._stalled_by_service.end(self._now())
        self._flush()
        if not self._full and self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # --- told by the gateway

    def stop(self, *, now: bool) -> None:
        """The gateway stops: the client is told 1012, the service that its client leaves."""
        self._shut(1012, "gateway is restarting", to_service=1001)
        if now:
            self._lost = self._service_ended = True
            self._exchange.reset()
            self._wake()

    def relieve(self) -> None:
        """The process holds too much for this one."""
        self._hit(Limit.HELD_HARD)
        self._mailbox.clear()
        self._shut(1013, "gateway is out of room", to_service=1001)
        self.stop(now=True)

    def tick(self, now: float) -> None:
        """Hold the deadlines."""
        policy = self._policy
        if self._sending_since is not None:
            if now - self._sending_since > policy.websocket_write_timeout:
                self._cut_client()
        elif self._full and now - self._full_since > policy.websocket_write_timeout and self._close is None:
            self._hit(Limit.TIMEOUT_WRITE)
            self._end(1011, "the service does not read", "gateway")
            self._lost = self._service_ended = True
            self._exchange.reset()
            self.writable()
        elif self._close is None and not self._parting:
            silent = now - self._active_at
            if silent > policy.idle_timeout:
                self._hit(Limit.TIMEOUT_IDLE)
                self._shut(1001, "idle", to_service=1001)
            elif silent > policy.idle_timeout / 2 and not self._pinged and not self._full:
                self._pinged = True
                self._write(self._codec.send_ping())

    @property
    def held_bytes(self) -> int:
        """Messages for the client, the one being assembled, and what the stream holds."""
        return self._mailbox.held_bytes + self._exchange.held_bytes

    # --- the coroutines

    async def run(self, early: bytes) -> None:
        """Pass messages both ways to the end; `early`: frames that came with the 101."""
        if early:
            self.take(early)
        self._exchange.resume()
        client = asyncio.get_running_loop().create_task(self._from_client())
        client.add_done_callback(self._client_is_through)
        try:
            await self._to_client(client)
        finally:
            self._parting = True
            self._mailbox.close()
            now = self._now()
            self._stalled_by_client.end(now)
            self._stalled_by_service.end(now)
            self._record.stalled_by_client_seconds = self._stalled_by_client.seconds
            self._record.stalled_by_service_seconds = self._stalled_by_service.seconds
            if not self._in_order:
                self._exchange.reset()
            client.cancel()
            await asyncio.wait((client,))
            if self._ahead is not None:
                self._ahead.cancel()
                await asyncio.wait((self._ahead,))

    async def _to_client(self, client: "asyncio.Task[tuple[int, str]]") -> None:
        """Service to client, until either side is through."""
        limit = rate_limit(self._policy, self._now())
        while True:
            while self._mailbox and not (client.done() or self._cut):
                message, arrived = self._mailbox.take()
                size = size_of(message)
                if limit is not None and (wait := limit.admit(size, self._now())) != 0.0:
                    if wait is None:
                        self._exceeded()
                        break
                    await self._slow_down(wait)
                await self._pass_on(
                    {"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message}
                )
                self._metrics.service_to_client.message(size, self._now() - arrived)
                self._passed("service_to_client", size)
                if self._record.messages_down % _TURN_MESSAGES == 0:
                    await asyncio.sleep(0)
            if client.done() or self._cut:
                await self._close_service(*self._parting_words(client))
                return
            if self._close is not None:
                code, reason = self._close
                self._record.close_code = code
                # A server cannot send an empty close frame through ASGI: 1005 crosses as 1000.
                await self._pass_on(
                    {"type": "websocket.close", "code": 1000 if code == 1005 else code, "reason": reason}
                )
                await self._part()
                return
            self._exchange.resume()
            if not self._outstanding() and not client.done():
                await self._wait()

    async def _from_client(self) -> tuple[int, str]:
        """Client to service, until the client closes; returns its code (1006: vanished) and reason."""
        limit = rate_limit(self._policy, self._now())
        while True:
            message = await (self._ahead or self._receive())
            self._ahead = None
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or 1005
                if code == 1005 and "reason" not in message:
                    code = 1006  # uvicorn's way to say that the connection ended without a close frame
                return code, message.get("reason") or ""
            if self._close is not None:
                continue  # the service does not listen any more
            arrived = self._active_at = self._now()
            self._pinged = False
            data: Any = message.get("text")
            if data is None:
                data = message.get("bytes") or b""
            size = size_of(data)
            if size > self._policy.max_message_bytes:
                self._hit(Limit.MESSAGE_SIZE)
                self._shut(1009, "message too large", to_service=1009)
                continue
            if limit is not None and (wait := limit.admit(size, arrived)) != 0.0:
                if wait is None:
                    self._exceeded()
                    continue
                await self._slow_down_client(wait)
            self._write(self._codec.send_message(data))
            while self._full and not self._lost:
                waiter = self._write_waiter = asyncio.get_running_loop().create_future()
                try:
                    await waiter
                finally:
                    self._write_waiter = None
            self._metrics.client_to_service.message(size, self._now() - arrived)
            self._passed("client_to_service", size)
            if self._record.messages_up % _TURN_MESSAGES == 0:
                await asyncio.sleep(0)

    async def _close_service(self, code: int, reason: str) -> None:
        """Tell the service how its client left, and wait for its answer for a while."""
        if self._close is None:
            self._record.close_code = self._record.close_code or code
            self._record.closed_by = self._record.closed_by or "client"
            if code == 1009:
                self._hit(Limit.MESSAGE_SIZE)  # the server refused a message larger than any route allows
                self._record.closed_by = "gateway"
        if not self._service_ended and self._close is None:
            try:
                frame = self._codec.close(None if code == 1005 else code, "" if code == 1005 else reason)
            except ValueError:  # 1006, 1015, and what no client may send: it vanished, in one way or another
                frame = self._codec.close(1011, "client vanished")
            self._write(frame)
        await self._part()

    async def _part(self) -> None:
        """Let the closing handshake end: the service ends the connection, as RFC 6455 section 7.1.1 has it."""
        if self._lost:
            return
        self._parting = True
        self._mailbox.close()
        self._exchange.resume()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while not self._service_ended:
                    await self._wait()
                if not self._lost:
                    self._exchange.end()
                    self._in_order = True

    def _parting_words(self, client: "asyncio.Task[tuple[int, str]]") -> tuple[int, str]:
        """How the client left: as it said, else it vanished."""
        if client.done() and not client.cancelled() and client.exception() is None:
            return client.result()
        return 1006, ""

    async def _pass_on(self, message: dict[str, Any]) -> None:
        self._sending_since = self._now()
        self._stalled_by_client.begin(self._sending_since)
        try:
            await self._send(message)
        except OSError:
            self._cut = True  # ASGI 2.4: the client has left
        except asyncio.CancelledError:
            if not self._cut or self._runner is None:
                raise
            self._runner.uncancel()  # it was us
        finally:
            self._sending_since = None
            self._stalled_by_client.end(self._now())

    # --- inside

    def _end(self, code: int, reason: str, by: Literal["client", "service", "gateway"]) -> None:
        """How the client is to be closed; the first reason stays."""
        if self._close is None:
            self._close = (code, reason)
            self._record.closed_by = self._record.closed_by or by
        self._over.set()
        self._wake()

    def _shut(self, code: int, reason: str, *, to_service: int) -> None:
        """End both sides, by our own decision."""
        if self._close is None:
            self._end(code, reason, "gateway")
            self._write(self._codec.close(to_service, ""))

    async def _slow_down(self, seconds: float) -> None:
        """Wait for the rate, or for the end of it all."""
        self._metrics.limit_hit(Limit.MESSAGES_RATE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def _slow_down_client(self, seconds: float) -> None:
        """The same, with an ear for the client: one that leaves is not waited for."""
        began = self._now()
        self._ahead = asyncio.get_running_loop().create_task(awaited(self._receive()))
        await asyncio.wait((self._ahead,), timeout=seconds)
        if not self._ahead.done() or self._ahead.result()["type"] != "websocket.disconnect":
            await self._slow_down(max(0.0, began + seconds - self._now()))

    def _exceeded(self) -> None:
        self._hit(Limit.MESSAGES_RATE)
        self._mailbox.clear()
        self._shut(1008, "rate limit exceeded", to_service=1008)

    def _hit(self, limit: Limit) -> None:
        self._metrics.limit_hit(limit, self._record)

    def _cut_client(self) -> None:
        """The client takes nothing: its connection is aborted where the server lets us, and left where not."""
        self._hit(Limit.TIMEOUT_WRITE)
        self._sending_since = None
        self._cut = True
        self._mailbox.clear()
        self._record.close_code, self._record.closed_by = 1006, "gateway"
        cut_off(self._scope, self._runner)

    def _passed(self, direction: access.Direction, size: int) -> None:
        self._record.passed(direction, size)
        if self._logs_messages:
            access.emit_message(self._record, direction, size)

    def _client_is_through(self, client: "asyncio.Task[tuple[int, str]]") -> None:
        if not client.cancelled() and (error := client.exception()) is not None:
            logger.error("reading from a WebSocket's client failed", exc_info=error)
        self._over.set()
        self._wake()

    def _outstanding(self) -> bool:
        """Whether the client is still to be told something."""
        return bool(self._mailbox) or self._close is not None

    def _flush(self) -> None:
        """Send what the codec owes (pongs, the answer to a close); while the stream is full it keeps the newest."""
        if not self._full:
            self._write(self._codec.data_to_send())

    def _write(self, frames: bytes) -> None:
        if frames and not self._lost and not self._exchange.send_data(frames) and not self._full:
            self._full = True
            self._full_since = self._now()
            self._stalled_by_service.begin(self._full_since)

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

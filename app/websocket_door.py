"""The ASGI door for WebSockets: messages on the client's side, RFC 6455 frames on the service's.

The client is accepted only after the service's 101, with the subprotocol that the service chose; a refusal reaches
the client as that status, headers and body. Close codes and reasons cross both ways (design, section 6, rule 5).
The frame codec is the consumer of the service's bytes: it assembles under a cap, so a message larger than a window
passes; while assembled messages wait for the client, the sink is paused and no credit goes back.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import Any

from app import access, problems
from app.asgi import Receive, Scope, Send, refuse, refuse_with_problem
from app.gateway import Gateway
from app.heads import BadRequestError, accept_headers, response_headers, upgrade_head
from app.routes import Route
from tunnel import websocket
from tunnel.errors import BadAnswerError, LinkLostError, ServiceBrokeOffError, StoppingError, TooSlowError, TunnelError
from tunnel.http1 import BadRequestError as UnsendableError
from tunnel.link import Link
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead

_CLOSE_SECONDS = 5.0
"""How long the service may take to answer our close frame before its stream is reset."""

_REFUSAL_BYTES = 1024 * 1024
"""Of a refused upgrade's body: servers hold it whole before they send it."""


class WebSocketExchange:
    """One WebSocket: the sink of its exchange, and the coroutines of its two directions."""

    def __init__(self, gateway: Gateway, scope: Scope, raw_path: bytes, receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._receive = receive
        self._send = send
        self._scope = scope
        self._raw_path = raw_path
        self._codec = websocket.Connection(max_message_bytes=gateway.settings.max_message_bytes)
        self._exchange: Exchange | None = None
        self._head: ResponseHead | None = None
        self._open = False  # the 101 was checked: `data` brings frames
        self._body: list[bytes] = []  # of a refusal; or frames that came with the 101
        self._body_bytes = 0
        self._messages: deque[str | bytes] = deque()
        self._close: tuple[int, str] | None = None  # what the client is to be closed with, after the messages
        self._service_ended = False
        self._error: TunnelError | None = None  # the exchange failed: nothing can be written any more
        self._parting = False  # the client is gone: what the service still says is dropped
        self._full = False  # the stream is above its mark
        self._counted_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self.link: Link | None = None
        self.outcome = "failed"
        self.counts = [0, 0]  # messages from the client, to the client
        self.sizes = [0, 0]  # their bytes

    # --- the sink

    def head(self, head: ResponseHead, /) -> None:
        """The service's answer to the handshake."""
        if head.status == 101 or head.status >= 200:
            self._head = head
            self._wake()

    def data(self, data: bytes, /) -> None:
        """Frames, once open; before that the body of a refusal."""
        if self._open:
            self._take_frames(data)
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if (self._head is not None and self._head.status == 101) and self._exchange is not None:
            self._exchange.pause()
        elif self._body_bytes > _REFUSAL_BYTES:
            self.failed(ServiceBrokeOffError("the refusal's body is too large"))
            self._reset()
        self._wake()

    def trailers(self, headers: Headers, /) -> None:
        """Of a refusal: dropped."""

    def end(self) -> None:
        """The refusal is complete; or the service ended its stream, in order only after a close frame."""
        self._service_ended = True
        if self._open and self._close is None:
            self._close = (1011, "service vanished")
        self._wake()

    def failed(self, error: TunnelError, /) -> None:
        """The exchange is over."""
        self._service_ended = True
        if self._error is None:
            self._error = error
        if self._open and self._close is None:
            self._close = (problems.problem_of(error).close_code, _told(error))
        self._wake()
        self.writable()

    def writable(self) -> None:
        """The stream has drained: owed answers first, then the client's next message."""
        self._full = False
        self._flush()
        if not self._full and self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    def stop(self, *, now: bool) -> None:
        """The gateway stops: the client is told 1012; the service that its client left."""
        if self._close is None:
            self._close = (1012, "gateway is restarting")
            if self._open:
                self._write(self._codec.close(1001, ""))
        if now:
            self._reset()
            self._service_ended = True
        self._wake()

    # --- the handshake

    async def run(self, route: Route) -> None:
        """Carry the WebSocket to its end. Raises TunnelError while the client was neither accepted nor answered."""
        began = time.monotonic()
        message = await self._receive()
        if message["type"] != "websocket.connect":
            self.outcome = "client left before the handshake"
            return
        try:
            key = websocket.new_key()
            head = await self._shake_hands(route, key)
            if head.status != 101:
                await self._refuse(head)
                return
            offered = [protocol.encode("latin-1") for protocol in self._scope.get("subprotocols", [])]
            chosen = websocket.check_accept(key, head.headers, offered)
            await self._send(
                {
                    "type": "websocket.accept",
                    "subprotocol": chosen.decode("latin-1") if chosen is not None else None,
                    "headers": accept_headers(head.headers),
                }
            )
            access.websocket_opened(self._scope, route, self.link, time.monotonic() - began)
            await self._converse()
        except OSError:
            self.outcome = "client left"
        finally:
            self._parting = True
            self._count()
            self._reset()

    async def _shake_hands(self, route: Route, key: bytes) -> ResponseHead:
        """Open the service's side; once more after a lost race. Returns its answer. Raises TunnelError."""
        offered = self._scope.get("subprotocols", [])
        protocols = ", ".join(offered).encode("latin-1") if offered else None
        handshake = websocket.handshake_headers(key, protocols)
        request: RequestHead = upgrade_head(self._scope, self._gateway.settings, self._raw_path, handshake)
        avoid: Link | None = None
        for attempt in (1, 2):
            choice = await self._gateway.choose(route.target, avoid=avoid)
            self.link = choice.link
            try:
                self._exchange = choice.upstream.open(request, self, fresh=attempt > 1)
                async with asyncio.timeout(self._gateway.settings.upgrade_timeout):
                    while self._head is None:
                        if self._error is not None:
                            raise self._error
                        if self._close is not None:
                            raise StoppingError("the gateway is stopping")
                        await self._wait()
            except UnsendableError as error:
                raise BadRequestError(str(error)) from None
            except TimeoutError:
                raise TooSlowError("no answer to the WebSocket handshake") from None
            except TunnelError as error:
                self._reset()
                if attempt == 2 or not error.retryable or self._close is not None:
                    raise
                avoid, self._error, self._service_ended = choice.link, None, False
            else:
                return self._head
        raise AssertionError  # the second attempt returns or raises

    async def _refuse(self, head: ResponseHead) -> None:
        """Give the service's refusal to the client as it is, where the server can say it."""
        self.outcome = f"refused by the service with {head.status}"
        try:
            async with asyncio.timeout(self._gateway.settings.upgrade_timeout):
                while not self._service_ended:
                    await self._wait()
        except TimeoutError:
            raise TooSlowError("the refusal of the WebSocket handshake does not end") from None
        if self._error is not None:
            raise self._error
        if head.status < 300:
            raise BadAnswerError(f"status {head.status} instead of 101")
        await refuse(self._scope, self._send, head.status, response_headers(head.headers), b"".join(self._body))

    # --- the conversation

    async def _converse(self) -> None:
        self._open = True
        early, self._body = b"".join(self._body), []
        if early:
            self._take_frames(early)
        if self._close is None:
            if self._error is not None:
                self._close = (problems.problem_of(self._error).close_code, _told(self._error))
            elif self._service_ended:
                self._close = (1011, "service vanished")
        if self._exchange is not None:
            self._exchange.resume()
        client = asyncio.get_running_loop().create_task(self._from_client())
        try:
            await self._to_client(client)
        finally:
            client.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await client

    async def _to_client(self, client: "asyncio.Task[tuple[int, str]]") -> None:
        """Service to client, until either side is through."""
        client.add_done_callback(lambda _: self._wake())
        while True:
            while self._messages and not client.done():
                message = self._messages.popleft()
                self.counts[1] += 1
                self.sizes[1] += len(message)
                if isinstance(message, str):
                    await self._send({"type": "websocket.send", "text": message})
                else:
                    await self._send({"type": "websocket.send", "bytes": message})
                self._count()
            if client.done():
                code, reason = client.result()
                self.outcome = f"closed by the client with {code}"
                await self._close_service(code, reason)
                return
            if self._close is not None:
                code, reason = self._close
                self.outcome = f"closed by the {'service' if self._error is None else 'gateway'} with {code}"
                # A server cannot send an empty close frame through ASGI: 1005 crosses as 1000.
                await self._send({"type": "websocket.close", "code": 1000 if code == 1005 else code, "reason": reason})
                await self._part()
                return
            if self._exchange is not None:
                self._exchange.resume()
            if not self._outstanding() and not client.done():
                await self._wait()

    async def _from_client(self) -> tuple[int, str]:
        """Client to service, until the client closes; returns its code (1006: vanished) and reason."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or 1005
                if code == 1005 and "reason" not in message:
                    code = 1006  # uvicorn's way to say that the connection ended without a close frame
                return code, message.get("reason") or ""
            if self._close is not None:
                continue  # the service does not listen any more
            data: Any = message.get("text")
            if data is None:
                data = message.get("bytes") or b""
            # One message was read ahead of a full stream: or the client could leave unnoticed.
            while self._full and self._error is None:
                waiter = self._write_waiter = asyncio.get_running_loop().create_future()
                try:
                    await waiter
                finally:
                    self._write_waiter = None
            self.counts[0] += 1
            self.sizes[0] += len(data)
            self._write(self._codec.send_message(data))

    async def _close_service(self, code: int, reason: str) -> None:
        """Tell the service how its client left, and wait for its answer for a while."""
        if not self._service_ended and self._close is None:
            if code == 1005:
                frame = self._codec.close(None)
            else:
                try:
                    frame = self._codec.close(code, reason)
                except ValueError:  # 1006, 1015, and what no client may send: it vanished, in one way or another
                    frame = self._codec.close(1011, "client vanished")
            self._write(frame)
        await self._part()

    async def _part(self) -> None:
        """Let the closing handshake end: the service ends the connection, as RFC 6455 section 7.1.1 has it."""
        exchange = self._exchange
        if exchange is None or self._error is not None:
            return
        self._parting = True
        self._messages.clear()
        exchange.resume()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while not self._service_ended:
                    await self._wait()
                exchange.end()
                self._exchange = None  # in order: nothing to reset

    # --- inside

    def _count(self) -> None:
        """Tell the process account what is held for the client: the message being assembled, and those that wait."""
        held = self._codec.buffered_bytes + sum(map(len, self._messages)) if not self._parting else 0
        if held != self._counted_bytes:
            self._gateway.account.adjust(held - self._counted_bytes)
            self._counted_bytes = held

    def _take_frames(self, data: bytes) -> None:
        for event in self._codec.receive_data(data):
            match event:
                case websocket.Message():
                    if not self._parting:
                        self._messages.append(event.data)
                case websocket.Closed():
                    self._close = self._close or (event.code, event.reason)
                case websocket.Failed():
                    self._close = self._close or (1011 if event.code != 1009 else 1009, event.reason)
                case _:
                    pass  # pings are answered by the codec, pongs need no answer
        self._flush()
        self._count()
        if self._messages and self._exchange is not None and self._close is None:
            self._exchange.pause()
        if self._outstanding():
            self._wake()

    def _flush(self) -> None:
        """Send what the codec owes (pongs, the answer to a close); while the stream is full it keeps the newest."""
        if not self._full:
            self._write_owed()

    def _write_owed(self) -> None:
        owed = self._codec.data_to_send()
        if owed:
            self._write(owed)

    def _write(self, frames: bytes) -> None:
        if self._exchange is not None and self._error is None and not self._exchange.send_data(frames):
            self._full = True

    def _outstanding(self) -> bool:
        """Whether the client is still to be told something."""
        return bool(self._messages) or self._close is not None

    def _reset(self) -> None:
        if self._exchange is not None:
            self._exchange.reset()

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _told(error: TunnelError) -> str:
    """The close reason of a lost exchange; the agent's own text is never shown."""
    return "connection to the cluster lost" if isinstance(error, LinkLostError) else "connection to the service lost"


async def carry(gateway: Gateway, route: Route, scope: Scope, raw_path: bytes, receive: Receive, send: Send) -> None:
    """Carry one WebSocket of a routed host."""
    began = time.perf_counter()
    exchange = WebSocketExchange(gateway, scope, raw_path, receive, send)
    gateway.began(exchange)
    try:
        await exchange.run(route)
    except BadRequestError as error:
        exchange.outcome = f"refused with 400: {error}"
        with contextlib.suppress(OSError):
            await refuse_with_problem(scope, send, problems.BAD_REQUEST, str(error))
    except TunnelError as error:
        problem = problems.problem_of(error)
        exchange.outcome = f"refused with {problem.status} {problem.code}: {error}"
        with contextlib.suppress(OSError):
            await refuse_with_problem(scope, send, problem)
    finally:
        gateway.ended(exchange)
        access.websocket_closed(scope, route, exchange.link, exchange.outcome, (exchange.counts[0], exchange.counts[1]),
                                (exchange.sizes[0], exchange.sizes[1]), time.perf_counter() - began)  # fmt: skip

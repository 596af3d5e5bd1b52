"""What each message type makes the agent do; run by its only read loop.

Whatever is awaited here holds up everything else that the gateway sends, pings included: that is the original's
design (section 5.3). Requests, WebSockets and Kubernetes streams therefore run as tasks of their own, and outlive
the connection.
"""

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from websockets.frames import Opcode

from tests.existing.envelope import Message, Payload, RefusedError, decode_base64, parse, report
from tests.existing.golang import now
from tests.existing.kubernetes import ApiSocket, StartRefusedError, start
from tests.existing.link import GoneError, Link
from tests.existing.options import Options
from tests.existing.order import Order, Where, read_order
from tests.existing.pipe import Pipe
from tests.existing.proxy import serve
from tests.existing.sockets import AppSocket, open_socket
from tests.existing.wire import BINARY, Answer

SUPPORTED = [
    "register_success",
    "register_in_progress",
    "heartbeat_ack",
    "pong",
    "ping",
    "proxy_request",
    "proxy_request_chunk",
    "proxy_request_stream_end",
    "proxy_cancel",
    "proxy_stream_data",
    "proxy_websocket_start",
    "proxy_websocket_data",
    "proxy_websocket_close",
    "ws_start",
    "ws_data",
    "ws_close",
    "error",
]
_FRAME_TYPES = frozenset({1, 2, 8, 9, 10})
_NO_CLUSTER = ("not registered", "cluster not found")


class Dispatch:
    """The agent's tables, and what it does with a message."""

    def __init__(self, link: Link, options: Options) -> None:
        self._link = link
        self._options = options
        self._dice = random.Random(options.seed)
        self._uploads: dict[str, Pipe] = {}
        self._sockets: dict[str, AppSocket] = {}
        self._api_sockets: dict[str, ApiSocket] = {}
        self._upgraded: set[str] = set()
        self._unknown: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._body_follows: Order | None = None
        self.forgotten = False
        """Whether the gateway made the agent forget its cluster: no more heartbeats."""
        self._registration: tuple[str, asyncio.Future[Payload]] | None = None
        handlers: dict[str, Callable[[Message], Awaitable[None]]] = {
            "ping": self._ping,
            "error": self._error,
            "register_success": self._register_success,
            "gateway_hello": self._hello,
            "proxy_request": self._request,
            "proxy_request_chunk": self._chunk,
            "proxy_request_stream_end": self._stream_end,
            "proxy_cancel": self._cancel,
            "proxy_stream_data": self._stream_data,
        }
        for name in ("start", "data", "close"):
            handlers[f"ws_{name}"] = handlers[f"proxy_websocket_{name}"] = getattr(self, f"_socket_{name}")
        for name in ("pong", "heartbeat_ack", "register_in_progress"):
            handlers[name] = self._nothing
        for name in ("tcp_tunnel_start", "tcp_tunnel_data", "tcp_tunnel_close", "udp_tunnel_data"):
            handlers[name] = self._tunnel
        self._handlers = handlers

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """A task that outlives the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            report("16", f"the stand-in itself failed: {error!r}")  # nothing that the original would do

    async def receive(self, opcode: Opcode, data: bytes) -> None:
        """One text or binary message; raises GoneError."""
        if (order := self._body_follows) is not None:
            self._body_follows = None
            self._binary_body(order, opcode, data)
            return
        try:
            message = parse(data)
            handler = self._handlers.get(message.type)
            if handler is None:
                await self._fallback(message)
            else:
                await handler(message)
        except RefusedError as refused:
            report(refused.section, str(refused))

    async def _nothing(self, message: Message) -> None:
        """Only logged by the original."""

    async def _tunnel(self, message: Message) -> None:
        report("11", f"{message.type} has no handler")

    async def _ping(self, message: Message) -> None:
        await self._link.send("pong", message.request_id, {"timestamp": now()})

    async def _error(self, message: Message) -> None:
        text = str(message.payload.get("error", ""))
        report("10", f"error from the gateway: {text}")
        if any(words in text.lower() for words in _NO_CLUSTER):
            self.forgotten = True
            report("10", "cluster id forgotten; heartbeats stop for good")

    def registration(self, request_id: str) -> asyncio.Future[Payload]:
        """The payload of the `register_success` that will name this request."""
        answer: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()
        self._registration = (request_id, answer)
        return answer

    async def _register_success(self, message: Message) -> None:
        if self._registration is None or self._registration[0] != message.request_id:
            raise RefusedError("3", f"register_success with the request_id {message.request_id!r} is ignored")
        if not self._registration[1].done():
            self._registration[1].set_result(message.payload)

    async def _hello(self, message: Message) -> None:
        if message.payload.get("use_yamux") is not True:
            return
        if not self._options.yamux:
            report("9", "gateway_hello although yamux was not claimed")
            return
        await self._link.send("gateway_hello_ack", message.request_id, {"use_yamux": True})
        print("yamux was agreed, and is the Go stand-in's: this one ends here", file=sys.stderr, flush=True)
        os._exit(3)

    async def _fallback(self, message: Message) -> None:
        report("4", f"unknown type {message.type!r}")
        if message.type in self._unknown:
            return
        self._unknown.add(message.type)
        payload: Payload = {
            "agent_version": "pipeops-k8-agent",
            "fallback_mode": "legacy_proxy",
            "protocol_version": "1.0",
            "supported_types": SUPPORTED,
            "timestamp": now().split(".")[0].rstrip("Z") + "Z",
            "unknown_type": message.type,
        }
        if message.request_id:
            payload["original_request_id"] = message.request_id
        await self._link.send("protocol_fallback", "", payload)

    async def _request(self, message: Message) -> None:
        order = read_order(message)
        if order.body_binary:
            self._body_follows = order
        else:
            self._begin(order)

    def _binary_body(self, order: Order, opcode: Opcode, data: bytes) -> None:
        length = int.from_bytes(data[:2])
        if opcode is not BINARY or data[2 : 2 + length] != order.id.encode():
            report("5.4", f"{order.id} lost: its binary body did not come in the very next frame")
            return
        self._begin(Order(**{**order.__dict__, "body": data[2 + length :]}))

    def _begin(self, order: Order) -> None:
        pipe = Pipe() if order.streaming else None
        if pipe is not None:
            self._uploads[order.id] = pipe
        if not order.websocket:
            self.spawn(serve(self._link, self._options, order, pipe))
        elif order.where(self._options) is Where.KUBERNETES:
            self.spawn(self._kubernetes_by_request(order))
        else:
            self.spawn(self._socket(order))

    async def _kubernetes_by_request(self, order: Order) -> None:
        """Section 8.8, last paragraph: the headers are lost, and success is claimed before anything happened."""
        payload: Payload = {"stream_id": order.id, "path": order.path, "query": order.query}
        try:
            if order.streamed_answer:
                await self._link.send("proxy_response_end", order.id, {})
            else:
                await self._link.send("proxy_response", order.id, {"status": 200, "headers": None})
            report("8.8", f"headers of {order.id} are lost")
            await self._socket_start(Message("proxy_websocket_start", order.id, payload))
        except GoneError:
            return

    async def _socket(self, order: Order) -> None:
        try:
            opened = await open_socket(self._link, self._options, order, self.spawn, self._dice)
            if opened is None:
                return
            socket, answer, reply = opened
            self._sockets[order.id] = socket
            try:
                await reply.head(Answer(101, answer.headers))
                await reply.end()
                self._upgraded.add(order.id)
                await socket.run(order.seconds)
            finally:
                if self._sockets.get(order.id) is socket:
                    del self._sockets[order.id]
        except GoneError:
            report("10", f"{order.id} ended with the connection")

    async def _chunk(self, message: Message) -> None:
        pipe = self._uploads.get(message.request_id)
        if pipe is None:
            raise RefusedError("5.3", f"chunk for an unknown id {message.request_id!r}")
        try:
            data = decode_base64(message.payload.get("data") or message.payload.get("chunk") or "")
        except ValueError as error:
            raise RefusedError("5.3", f"chunk of {message.request_id} is not base64, and skipped: {error}") from error
        if data:
            await pipe.write(data)

    async def _stream_end(self, message: Message) -> None:
        if pipe := self._uploads.pop(message.request_id, None):
            await pipe.end()

    async def _cancel(self, message: Message) -> None:
        pipe = self._uploads.pop(message.request_id, None)
        if pipe is None:
            raise RefusedError("5.5", f"proxy_cancel of {message.request_id!r} cancels nothing")
        await pipe.cancel()

    async def _stream_data(self, message: Message) -> None:
        if message.request_id in self._upgraded:
            print("panic: send on closed channel", file=sys.stderr, flush=True)
            os._exit(2)
        report("0", f"proxy_stream_data for {message.request_id!r} is ignored")

    async def _socket_start(self, message: Message) -> None:
        try:
            stream = start(message, self._options)
        except StartRefusedError as refused:
            payload: Payload = {"request_id": message.request_id, "error": str(refused)}
            await self._link.send("proxy_error", message.request_id, payload)
            return
        self._api_sockets[stream.id] = stream
        self.spawn(self._run_api_socket(stream))

    async def _run_api_socket(self, stream: ApiSocket) -> None:
        try:
            await stream.run(self._link, self._options)
        finally:
            if self._api_sockets.get(stream.id) is stream:
                del self._api_sockets[stream.id]

    def _stream_of(self, message: Message) -> tuple[str, AppSocket | ApiSocket | None]:
        payload = message.payload
        ids = [payload.get("request_id"), payload.get("stream_id"), message.request_id]
        stream_id = next((name for name in ids if isinstance(name, str) and name), "")
        api = payload.get("stream_id") or message.request_id
        return stream_id, self._api_sockets.get(str(api)) or self._sockets.get(stream_id)

    async def _socket_data(self, message: Message) -> None:
        stream_id, stream = self._stream_of(message)
        if stream is None:
            raise RefusedError("8.2", f"frame for {stream_id!r}, which is not open")
        try:
            data = decode_base64(message.payload.get("data"))
        except ValueError as error:
            raise RefusedError("8.3", f"frame of {stream_id} is not base64: {error}") from error
        given = message.payload.get("message_type")
        if data[:1] and data[0] in _FRAME_TYPES:
            stream.hand_over(data[0], data[1:])
        elif isinstance(given, int) and not isinstance(given, bool):
            stream.hand_over(given, data)
        else:
            stream.hand_over(data[0] if data else 0, data[1:])

    async def _socket_close(self, message: Message) -> None:
        stream_id, stream = self._stream_of(message)
        if stream is None:
            raise RefusedError("8.6", f"close of {stream_id!r}, which is not open")
        stream.close()

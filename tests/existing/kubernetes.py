"""WebSockets to the Kubernetes API, path B (section 8.8): exec, attach, port-forward.

There is no success message. Frames for the API are ordered and may come before it has answered; beyond 100 they are
dropped without a sign. With a `*.channel.k8s.io` subprotocol, text is put on channel 0 and the channels 0 to 3 come
back as text without their number.
"""

import asyncio

from websockets.frames import Opcode

from tests.existing.envelope import Message, encode_base64, report
from tests.existing.golang import canonical, encode_path
from tests.existing.link import GoneError, Link
from tests.existing.network import DialError, hang_up
from tests.existing.options import Options
from tests.existing.order import HOP_BY_HOP, read_headers
from tests.existing.proxy import api_address
from tests.existing.wire import (
    BINARY,
    CLOSE,
    NORMAL_CLOSE,
    PING,
    PONG,
    TEXT,
    BrokenError,
    HandshakeError,
    Header,
    Headers,
    Wire,
    open_wire,
)

QUEUE_FRAMES = 100
_PATHS = ("/api", "/apis", "/version", "/healthz", "/readyz", "/livez", "/openapi/")
_STREAMING = ("/exec", "/attach", "/portforward")
_PROTOCOLS = "v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io"
_OPCODES = {1: TEXT, 2: BINARY, 8: CLOSE, 9: PING, 10: PONG}


class StartRefusedError(Exception):
    """A start that gets a `proxy_error` and nothing else."""


class ApiSocket:
    """One WebSocket to the Kubernetes API, from the start message on."""

    def __init__(self, stream_id: str, path: str, query: str, protocol: str, headers: Headers) -> None:
        self.id = stream_id
        self._target = encode_path(path.replace("..", "")) + (f"?{query}" if query else "")
        offered = [protocol] if protocol else []
        offered += headers.get(canonical("Sec-WebSocket-Protocol"), [])
        if not offered and path.endswith(_STREAMING):
            offered = [_PROTOCOLS]
        self._offered = offered
        self._headers = headers
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUE_FRAMES)
        self._ended = asyncio.Event()
        self._channels = False

    def hand_over(self, kind: int, payload: bytes) -> None:
        """A frame from the gateway, in order."""
        if self._queue.full():
            report("8.8", f"frame for {self.id} dropped, the queue is full")
        else:
            self._queue.put_nowait((kind, payload))

    def close(self) -> None:
        """`proxy_websocket_close`."""
        self._ended.set()

    def _dialled_with(self, token: str) -> list[Header]:
        dropped = HOP_BY_HOP | {"host"}
        lines = [
            (name, value)
            for name, values in self._headers.items()
            if name.lower() not in dropped and not name.startswith("Sec-Websocket-")
            for value in values
        ]
        if "Authorization" not in self._headers:
            lines.append(("Authorization", f"Bearer {token}"))
        return lines + ([("Sec-WebSocket-Protocol", ", ".join(self._offered))] if self._offered else [])

    async def run(self, link: Link, options: Options) -> None:
        """The stream to its end; `proxy_websocket_close` is its last message, whatever ended it."""
        try:
            try:
                wire = await self._dial(options)
            except (DialError, BrokenError, HandshakeError) as error:
                status = f" (status: {error.answer.status})" if isinstance(error, HandshakeError) else ""
                text = f"failed to connect to K8s API: {error}{status}"
                await link.send("proxy_error", self.id, {"request_id": self.id, "error": text})
            else:
                await self._carry(wire, link)
            await link.send("proxy_websocket_close", self.id, {"stream_id": self.id})
        except GoneError:
            report("10", f"{self.id} ended with the connection")

    async def _dial(self, options: Options) -> Wire:
        api = api_address(options)
        assert api is not None
        (host, port), tls = api
        headers = self._dialled_with(options.api_token)
        wire, answer = await open_wire((host, port), f"{host}:{port}", self._target, headers, tls=tls)
        self._channels = any(
            value.endswith("channel.k8s.io") for value in answer.headers.get("Sec-Websocket-Protocol", [])
        )
        return wire

    async def _carry(self, wire: Wire, link: Link) -> None:
        tasks = [asyncio.create_task(work) for work in (self._write(wire), self._read(wire, link), self._ended.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                if not wire.close_sent:
                    await wire.send(CLOSE, NORMAL_CLOSE)
            except BrokenError:
                pass
            await hang_up(wire.writer)

    async def _write(self, wire: Wire) -> None:
        while True:
            kind, payload = await self._queue.get()
            opcode = _OPCODES.get(kind)
            if opcode is None:
                report("8.3", f"frame type {kind} ends {self.id}")
                return
            if opcode is TEXT and self._channels:
                opcode, payload = BINARY, b"\0" + payload
            try:
                await wire.send(opcode, payload)
            except BrokenError:
                return
            if opcode is CLOSE:
                await asyncio.Event().wait()  # the API answers the close, and the reader sees it

    async def _read(self, wire: Wire, link: Link) -> None:
        while True:
            try:
                opcode, payload = await wire.receive()
                if opcode is PING:
                    await wire.send(PONG, payload)
                elif opcode is CLOSE:
                    if not wire.close_sent:
                        await wire.send(CLOSE, payload[:2])
                    return
            except BrokenError:
                return
            if opcode in {TEXT, BINARY} and not await self._forward(link, opcode, payload):
                return

    async def _forward(self, link: Link, opcode: Opcode, payload: bytes) -> bool:
        if self._channels and opcode is BINARY and payload[:1] in {b"\0", b"\1", b"\2", b"\3"}:
            opcode, payload = TEXT, payload[1:]
        data = encode_base64(bytes([opcode]) + payload)
        try:
            return await link.send("proxy_websocket_data", self.id, {"stream_id": self.id, "data": data})
        except GoneError:
            return False


def start(message: Message, options: Options) -> ApiSocket:
    """The stream that a `proxy_websocket_start` asks for; raises StartRefusedError with the agent's text."""
    payload = message.payload
    texts = {key: payload.get(key) if isinstance(payload.get(key), str) else "" for key in payload}
    stream_id, path = texts.get("stream_id") or "", texts.get("path") or ""
    if not stream_id:
        raise StartRefusedError("missing stream_id")
    if not path.startswith(_PATHS) or "%" in path or "\\" in path:
        raise StartRefusedError("invalid path: must be a Kubernetes API path")
    if options.api_server is None:
        raise StartRefusedError("kubernetes client not initialized")
    protocol, query = texts.get("protocol") or "", texts.get("query") or ""
    return ApiSocket(stream_id, path, query, protocol, read_headers(payload.get("headers")))

"""Application WebSockets, path A (sections 8.2 to 8.7), with all that is wrong with them.

Each frame for the service is handed over on its own, after a random moment, to a queue of 100: bursts swap, and
what finds the queue full is lost with one `backpressure` message. The service's close is told to nobody. A stream
whose 101 went out stays deadly: `proxy_stream_data` for it ends the process.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.frames import Opcode

from tests.existing.envelope import encode_base64, report
from tests.existing.link import GoneError, Link
from tests.existing.network import DialError, hang_up
from tests.existing.options import Options
from tests.existing.order import HOP_BY_HOP, Order, Where
from tests.existing.proxy import address_of, reply_to, through_ingress
from tests.existing.reply import Reply
from tests.existing.wire import (
    BINARY,
    CLOSE,
    NORMAL_CLOSE,
    PING,
    PONG,
    TEXT,
    Answer,
    BrokenError,
    HandshakeError,
    Header,
    Wire,
    open_wire,
)

QUEUE_FRAMES = 100
HANDED_OVER_LATE = 0.5
"""How many of the frames are not handed over at once; half gives the shares of swapped frames in section 8.7."""
_OPCODES = {1: TEXT, 2: BINARY, 8: CLOSE, 9: PING, 10: PONG}

Spawn = Callable[[Coroutine[Any, Any, None]], None]


class AppSocket:
    """One open WebSocket to a service."""

    def __init__(
        self, wire: Wire, order: Order, link: Link, options: Options, spawn: Spawn, dice: random.Random
    ) -> None:
        self.id = order.id
        self._wire = wire
        self._link = link
        self._options = options
        self._spawn = spawn
        self._dice = dice
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUE_FRAMES)
        self._ended = asyncio.Event()
        self._ponged = time.monotonic()

    def _soon(self, act: Callable[..., None], *arguments: Any) -> None:
        if self._options.reorder_ms and self._dice.random() < HANDED_OVER_LATE:
            delay = self._dice.random() * self._options.reorder_ms / 1000
            asyncio.get_running_loop().call_later(delay, act, *arguments)
        else:
            act(*arguments)

    def hand_over(self, kind: int, payload: bytes) -> None:
        """A frame from the gateway; it may overtake others and be overtaken."""
        self._soon(self._put, kind, payload)

    def close(self) -> None:
        """`proxy_websocket_close`: races with the frames before it."""
        self._soon(self._ended.set)

    def _put(self, kind: int, payload: bytes) -> None:
        if self._ended.is_set():
            report("8.6", f"frame for {self.id} after its end")
        elif self._queue.full():
            report("8.7", f"frame for {self.id} dropped, the queue is full")
            self._spawn(self._backpressure())
        else:
            self._queue.put_nowait((kind, payload))

    async def _backpressure(self) -> None:
        try:
            await self._link.send("backpressure", self.id, {"reason": "channel_full", "request_id": self.id})
        except GoneError:
            report("10", f"backpressure of {self.id} lost")

    async def run(self, seconds: float) -> None:
        """Both directions until either ends, or the time is up; silent towards the gateway in every case."""
        tasks = [asyncio.create_task(work()) for work in (self._write, self._read, self._ping, self._ended.wait)]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not any(task.done() for task in tasks):
                report("5", f"{self.id} ended by its timeout, without a word")
        finally:
            self._ended.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(1):
                if not self._wire.close_sent:
                    await self._wire.send(CLOSE, NORMAL_CLOSE)
        except (BrokenError, TimeoutError):
            pass
        await hang_up(self._wire.writer)

    async def _write(self) -> None:
        while True:
            kind, payload = await self._queue.get()
            opcode = _OPCODES.get(kind)
            if opcode is None:
                report("8.3", f"frame type {kind} ends {self.id}")
                return
            try:
                await self._wire.send(opcode, payload)
            except BrokenError:
                return
            if opcode is CLOSE:
                await asyncio.Event().wait()  # the service answers the close, and the reader sees it

    async def _read(self) -> None:
        while True:
            try:
                opcode, payload = await self._wire.receive()
                if opcode is PING:
                    await self._wire.send(PONG, payload)
                elif opcode is CLOSE:
                    report("8.6", f"the service closed {self.id}; the gateway is not told")
                    if not self._wire.close_sent:
                        await self._wire.send(CLOSE, payload[:2])
                    return
            except BrokenError:
                report("8.6", f"the service dropped {self.id}; the gateway is not told")
                return
            if opcode is PONG:
                self._ponged = time.monotonic()
            elif opcode in {TEXT, BINARY} and not await self._forward(opcode, payload):
                return

    async def _forward(self, opcode: Opcode, payload: bytes) -> bool:
        data = encode_base64(bytes([opcode]) + payload)
        ids = {"request_id": self.id, "stream_id": self.id}
        try:
            return await self._link.send("proxy_websocket_data", self.id, {"data": data, "message_type": opcode, **ids})
        except GoneError:
            return False

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._options.service_ping)
            if time.monotonic() - self._ponged > 3.5 * self._options.service_ping:
                return
            try:
                await self._wire.send(PING, b"")
            except BrokenError:
                return


def handshake_headers(order: Order) -> list[Header]:
    """What a service's handshake is given of the client's (section 8.2)."""
    named = {token.strip().lower() for value in order.headers.get("Connection", []) for token in value.split(",")}
    kept = [
        line
        for line in order.service_headers()
        if line[0].lower() not in named and (not line[0].startswith("Sec-Websocket-"))
    ]
    offered = order.headers.get("Sec-Websocket-Protocol") or ([order.protocol] if order.protocol else [])
    return kept + [("Sec-WebSocket-Protocol", value) for value in offered]


async def open_socket(
    link: Link, options: Options, order: Order, spawn: Spawn, dice: random.Random
) -> tuple[AppSocket, Answer, Reply] | None:
    """The WebSocket that the request asked for, its 101 still to be sent; None when refused, and the gateway told."""
    reply = reply_to(link, order)
    where = order.where(options)
    if where is Where.NOWHERE:
        await reply.fail("missing service routing information for WebSocket")
        return None
    order = through_ingress(order, options) if where is Where.INGRESS else order
    try:
        target = order.target()
    except ValueError as error:
        await reply.fail(str(error))
        return None
    refused, text = Answer(502), ""
    authority = order.authority()
    host = order.header("Host") or order.header("X-Forwarded-Host") or authority
    try:
        async with asyncio.timeout(min(options.handshake_limit, order.seconds)):
            wire, answer = await open_wire(
                address_of(order, options),
                host,
                target or "/",
                handshake_headers(order),
                tls=order.tls,
                offer=True,
                send_buffer=options.send_buffer,
            )
        return AppSocket(wire, order, link, options, spawn, dice), answer, reply
    except HandshakeError as error:
        refused, text = error.answer, str(error)
        if refused.status != 101:
            kept = {name: values for name, values in refused.headers.items() if name.lower() not in HOP_BY_HOP}
            refused = Answer(refused.status, kept)
    except (DialError, BrokenError) as error:
        text = str(error)
    except TimeoutError:
        text = "context deadline exceeded"
    if order.streamed_answer:
        await reply.head(refused)
    await reply.fail(f"failed to connect to service WebSocket: {text}")
    return None

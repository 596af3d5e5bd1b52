"""Steady HTTP whose every byte is checked, and clients that stall: readers, WebSocket readers, uploads.

A request may fail while an agent is lost, but only with one of the gateway's own answers or broken off, and never with
a wrong body.
"""

import asyncio
import hashlib
import json
import select
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import aiohttp

from tests.services.pattern import digest
from tests.system.clients import RawClient, http_client
from tests.system.harness import Stack
from tests.system.neighbours import MEGABYTES_500, stop_reading

WORKERS = 10
PAUSE_SECONDS = 0.05
DOWNLOAD_BYTES = 400_000
DOWNLOAD_DIGEST = digest(DOWNLOAD_BYTES)
UPLOAD = bytes(range(256)) * 800
SMALL_BUFFER_BYTES = 16_384
REFUSALS = (502, 503, 504)


@dataclass
class Requests:
    """The workers, and what became of their requests."""

    stack: Stack
    over: asyncio.Event
    good: int = 0
    failed: list[tuple[float, float, str]] = field(default_factory=list)
    """(begin, end, what came) of those refused or broken off."""
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        async with http_client(limit=WORKERS) as http:
            await asyncio.gather(*(self._work(http, number) for number in range(WORKERS)))

    async def _work(self, http: aiohttp.ClientSession, number: int) -> None:
        kinds: list[Callable[[aiohttp.ClientSession, int], Awaitable[str]]] = [
            self._small, self._upload, self._small, self._download,
        ]  # fmt: skip
        turn = number
        while not self.over.is_set():
            turn += 1
            began = time.monotonic()
            try:
                said = await kinds[turn % len(kinds)](http, turn)
            except (aiohttp.ClientError, TimeoutError) as error:
                said = f"broken off: {type(error).__name__}"
            if said == "good":
                self.good += 1
            elif said.startswith("wrong"):
                self.wrong.append(said)
            else:
                self.failed.append((began, time.monotonic(), said))
            await asyncio.sleep(PAUSE_SECONDS)  # the pace of the load

    async def _small(self, http: aiohttp.ClientSession, turn: int) -> str:
        async with http.get(self.stack.url("plain", f"/small?n={turn}")) as answer:
            return verdict(answer.status, await answer.read() == f"small {turn}".encode())

    async def _upload(self, http: aiohttp.ClientSession, _: int) -> str:
        async with http.post(self.stack.url("plain", "/upload"), data=UPLOAD) as answer:
            body = await answer.read()
            good = answer.status == 200 and json.loads(body)["sha256"] == hashlib.sha256(UPLOAD).hexdigest()
            return verdict(answer.status, good)

    async def _download(self, http: aiohttp.ClientSession, turn: int) -> str:
        how = "&how=chunked" if turn % 8 == 3 else ""
        async with http.get(self.stack.url("plain", f"/download?size={DOWNLOAD_BYTES}{how}")) as answer:
            body = await answer.read()
            return verdict(answer.status, hashlib.sha256(body).hexdigest() == DOWNLOAD_DIGEST)


def verdict(status: int, is_right: bool) -> str:
    """`good`, one of the gateway's own refusals, or `wrong`."""
    if status in REFUSALS:
        return f"refused with {status}"
    return "good" if status == 200 and is_right else f"wrong: {status}"


@dataclass
class Stalled:
    """Clients that stand still. Each kind's exchange ends by a fault, or when its client leaves."""

    stack: Stack
    name: str
    each: int
    readers: dict[str, RawClient] = field(default_factory=dict)
    websockets: dict[str, RawClient] = field(default_factory=dict)
    senders: dict[str, RawClient] = field(default_factory=dict)
    """Began an upload and sent only a part of it."""
    uploads: dict[str, RawClient] = field(default_factory=dict)
    """Send to a service that never reads, and so never learns of an end: a service of its own."""
    clients: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> None:
        for number in range(self.each):
            key = f"{self.name}-{number}"
            self.readers[f"r-{key}"] = self.clients.enter_context(stop_reading(self.stack, f"r-{key}"))
            self.websockets[f"w-{key}"] = self.clients.enter_context(flooded(self.stack, f"w-{key}"))
            self.senders[f"s-{key}"] = self.clients.enter_context(half_upload(self.stack, f"s-{key}"))
            self.uploads[f"u-{key}"] = self.clients.enter_context(unread_upload(self.stack, f"u-{key}"))
        for client in self.uploads.values():
            fill(client)

    def keys(self) -> list[str]:
        """The ids that a service tells the end of: all but those of the uploads that it never reads."""
        return [*self.readers, *self.websockets, *self.senders]

    def not_told(self, gone: set[str]) -> list[str]:
        """Of the exchanges that are gone at the service, those whose client does not find its connection ended.

        A sender is refused, or its connection ends. A client that reads nothing learns of nothing: what was on its way
        comes first, and the end behind it. So each reads on, and must come to an end long before the 500 MB that it was
        promised. Blocks.
        """
        readers = {**self.readers, **self.websockets}
        return [key for key in gone if key in readers and not ends_early(readers[key])] + [
            key for key in gone if key in self.senders and not is_refused(self.senders[key])
        ]

    def ended(self) -> set[str]:
        """Whose connection was seen to end, without a read."""
        clients = {**self.readers, **self.websockets, **self.senders}
        return {key for key, client in clients.items() if has_ended(client)}

    def leave(self) -> None:
        self.clients.close()


def flooded(stack: Stack, key: str) -> RawClient:
    """A WebSocket client that asked for 500 MB of messages and reads none of them."""
    client = RawClient(stack.address("ws"), receive_buffer_bytes=SMALL_BUFFER_BYTES)
    client.request(
        f"GET /command?id={key} HTTP/1.1",
        "ws",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert client.answer_head().status == 101
    order = json.dumps({"do": "flood", "count": 10_000, "size": 50_000}).encode()
    client.send(bytes([0x81, 0x80 | len(order), 0, 0, 0, 0]) + order)
    return client


def half_upload(stack: Stack, key: str) -> RawClient:
    """A client that promised 1 MB, sent 100 kB, and sends no more."""
    client = RawClient(stack.address("plain"))
    client.request(f"POST /never?id={key} HTTP/1.1", "plain", "Content-Length: 1000000", body=bytes(100_000))
    return client


def unread_upload(stack: Stack, key: str) -> RawClient:
    """A client that sends to a service that never reads, as much as it can."""
    client = RawClient(stack.address("hole"))
    client.request(f"POST /black-hole?id={key} HTTP/1.1", "hole", f"Content-Length: {MEGABYTES_500}")
    return client


def fill(client: RawClient) -> None:
    """Send what the socket takes now."""
    client.socket.setblocking(False)
    piece = bytes(65_536)
    try:
        while client.socket.send(piece):
            pass
    except OSError:  # full, or ended by a fault
        return


def ends_early(client: RawClient) -> bool:
    """Read to the end; False when nothing more comes, and no end either."""
    try:
        return len(client.read_end()) < MEGABYTES_500 // 2
    except TimeoutError:
        return False


def is_refused(client: RawClient) -> bool:
    """One of the gateway's own refusals comes, or the end; False when neither does."""
    try:
        return client.answer().status in REFUSALS
    except TimeoutError:
        return False
    except (EOFError, ConnectionError):
        return True


def has_ended(client: RawClient) -> bool:
    """Whether the gateway ended this connection, without a read of what is before the end."""
    poll = select.poll()
    poll.register(client.socket, select.POLLRDHUP)
    return bool(poll.poll(0))  # POLLHUP and POLLERR come unasked

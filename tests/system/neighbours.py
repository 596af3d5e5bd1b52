"""What must go on while something else is stuck: small requests and a WebSocket on the same link."""

import asyncio
import json
import select
from dataclasses import dataclass, field

from tests.system.clients import RawClient, http_client, websocket
from tests.system.harness import Stack

REQUESTS = 1000
AT_ONCE = 10
WEBSOCKET_MESSAGES = 500
MEGABYTES_500 = 500_000_000
QUIET_SECONDS = 1.0
PIECE_BYTES = 65_536
SMALL_BUFFER_BYTES = 16_384


@dataclass
class Seen:
    """What the neighbours got."""

    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    messages: list[str | bytes] = field(default_factory=list)


async def small_requests(stack: Stack, seen: Seen) -> None:
    """REQUESTS small requests from AT_ONCE clients; every answer is checked."""
    numbers = iter(range(REQUESTS))

    async with http_client(limit=AT_ONCE) as http:

        async def client() -> None:
            for number in numbers:
                async with http.get(stack.url("plain", f"/small?n={number}")) as answer:
                    body = await answer.read()
                seen.answered += 1
                if answer.status != 200 or body != f"small {number}".encode():
                    seen.wrong.append(f"{number}: {answer.status} {body[:200]!r}")

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))


async def ordered_messages(stack: Stack, seen: Seen) -> None:
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        for number in range(WEBSOCKET_MESSAGES):
            await client.send(str(number))
            seen.messages.append(await client.recv())


async def neighbours(stack: Stack) -> Seen:
    """Both at once."""
    seen = Seen()
    await asyncio.gather(small_requests(stack, seen), ordered_messages(stack, seen))
    return seen


def assert_undisturbed(seen: Seen) -> None:
    assert seen.wrong == []
    assert seen.answered == REQUESTS
    assert seen.messages == [str(number) for number in range(WEBSOCKET_MESSAGES)]


def stop_reading(stack: Stack, key: str) -> RawClient:
    """A client that asked for 500 MB, read the head, and reads no more."""
    client = RawClient(stack.address("plain"), receive_buffer_bytes=SMALL_BUFFER_BYTES)
    client.request(f"GET /download?size={MEGABYTES_500}&id={key} HTTP/1.1", "plain")
    assert client.answer_head().status == 200
    return client


def flooded(stack: Stack) -> RawClient:
    """A WebSocket client that ordered 500 MB of messages, and reads none of them."""
    client = RawClient(stack.address("ws"), receive_buffer_bytes=SMALL_BUFFER_BYTES)
    client.request(
        "GET /command HTTP/1.1",
        "ws",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    assert client.answer_head().status == 101
    order = json.dumps({"do": "flood", "count": 10_000, "size": 50_000}).encode()
    assert len(order) < 126
    client.send(bytes([0x81, 0x80 | len(order), 0, 0, 0, 0]) + order)
    return client


def begin_upload(stack: Stack, key: str) -> RawClient:
    """A client that began to send 500 MB to a service that never reads."""
    client = RawClient(stack.address("plain"))
    client.request(f"POST /black-hole?id={key} HTTP/1.1", "plain", f"Content-Length: {MEGABYTES_500}")
    return client


def send_until_stuck(clients: list[RawClient]) -> list[int]:
    """Send on each until none takes a byte for QUIET_SECONDS; how many bytes each took."""
    sent = dict.fromkeys(range(len(clients)), 0)
    numbers = {client.socket: number for number, client in enumerate(clients)}
    piece = bytes(PIECE_BYTES)
    for client in clients:
        client.socket.setblocking(False)
    while ready := select.select([], list(numbers), [], QUIET_SECONDS)[1]:
        for writable in ready:
            number = numbers[writable]
            sent[number] += writable.send(piece)
            if sent[number] > MEGABYTES_500 // 2:
                raise AssertionError(f"a service that never reads was sent {sent[number]} bytes")
    return list(sent.values())

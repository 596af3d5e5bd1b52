"""WebSockets through the tunnel: messages, closings, pings, subprotocols, refusals, and many at once."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.system.clients import websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
WEBSOCKETS = 64
MESSAGES = 1000
IN_FLIGHT = 100


async def closing_seen(http: aiohttp.ClientSession, stack: Stack, key: str, name: str = "ws") -> tuple[int, str]:
    """The code and reason that the service received."""
    async with http.get(stack.control(name, f"/closed?id={key}")) as answer:
        seen = await answer.json(content_type=None)
    return seen["code"], seen["reason"]


@pytest.mark.parametrize(
    "message", ["", "text", "snow \u2603 \U0001f600", b"", b"\x00\xff", "x" * 125, "x" * 126, b"x" * 65_536]
)
async def test_a_message_is_echoed_as_it_was(stack: Stack, message: str | bytes) -> None:
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_a_message_of_9_mib_passes_both_ways(stack: Stack) -> None:
    message = random.Random(9).randbytes(9 * MIB)
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(message)
        assert await client.recv() == message
        await client.send("still here")
        assert await client.recv() == "still here"


async def test_a_close_by_the_service_reaches_the_client(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4001, "reason": "bye"}))
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4001, "bye")


async def test_a_close_by_the_client_reaches_the_service(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with websocket(stack.url("ws", "/echo?id=client-close", "ws")) as client:
        await client.close(4001, "bye")
    assert client.close_code == 4001
    assert await closing_seen(http, stack, "client-close") == (4001, "bye")


async def test_a_close_follows_the_messages_before_it(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "send", "size": MIB, "binary": True}))
        await client.send(json.dumps({"do": "close", "code": 1000}))
        assert await client.recv() == bytes(MIB)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1000


@tunnel_only
async def test_a_service_that_vanishes_is_told_to_the_client_as_1011(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "abort"}))
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1011


@tunnel_only
async def test_a_client_that_vanishes_is_told_to_the_service_as_1011(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with websocket(stack.url("ws", "/echo?id=vanished", "ws")) as client:
        client.transport.abort()
    code, _ = await closing_seen(http, stack, "vanished")
    assert code == 1011


async def test_a_services_ping_is_answered(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "ping", "data": "are you there"}))
        assert json.loads(await client.recv()) == {"pong": "are you there"}


async def test_a_clients_ping_is_answered(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        assert await (await client.ping(b"hello")) >= 0


async def test_a_fragmented_message_with_a_ping_in_its_middle_arrives_whole(stack: Stack) -> None:
    pieces = ["one ", "two ", "three ", "\u2603" * 10_000]
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "fragments", "pieces": pieces}))
        assert await client.recv() == "".join(pieces)
        assert json.loads(await client.recv()) == {"pong": "middle"}


async def test_a_message_that_the_client_fragments_arrives_whole(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws")) as client:

        async def pieces() -> AsyncIterator[str]:
            for number in range(10):
                if number == 5:
                    await (await client.ping(b"middle"))
                yield f"piece {number}, "

        await client.send(pieces())
        assert await client.recv() == "".join([f"piece {number}, " for number in range(10)])


async def test_the_subprotocol_is_the_one_that_the_service_chose(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/echo", "ws"), subprotocols=["first", "second"]) as client:
        assert client.subprotocol == "second"


async def test_no_subprotocol_is_agreed_when_the_service_chose_none(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/no-subprotocol", "ws"), subprotocols=["first", "second"]) as client:
        assert client.subprotocol is None
        await client.send("without")
        assert await client.recv() == "without"


async def test_a_refused_upgrade_reaches_the_client_as_it_was(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(stack.url("ws", "/refuse", "ws")):
            pass
    answer = refused.value.response
    assert (answer.status_code, answer.body) == (403, b"not for you")
    assert answer.headers["X-Why"] == "because"
    assert answer.headers["Content-Type"] == "text/plain"


async def test_a_plain_answer_to_an_upgrade_is_a_refusal(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(stack.url("plain", "/small?n=1", "ws")):
            pass
    assert refused.value.response.status_code == 200 or refused.value.response.status_code >= 400


async def test_a_service_that_floods_waits_for_its_client(stack: Stack) -> None:
    """The client reads late and still gets every message in order."""
    order = {"do": "flood", "count": 2000, "size": 10_000}
    async with websocket(stack.url("ws", "/command", "ws"), max_queue=4) as client:
        await client.send(json.dumps(order))
        for number in range(2000):
            message = await client.recv()
            assert isinstance(message, str)
            assert message.split(":", 1)[0] == str(number)


@pytest.mark.timeout(240)
async def test_64_websockets_keep_the_order_of_a_thousand_messages_each(stack: Stack) -> None:
    async def one(number: int) -> list[str | bytes]:
        room = asyncio.Semaphore(IN_FLIGHT)
        async with websocket(stack.url("ws", "/echo", "ws"), compression=None) as client:

            async def send() -> None:
                for message in range(MESSAGES):
                    await room.acquire()
                    await client.send(f"{number}:{message}")

            sending = asyncio.create_task(send())
            got = []
            for _ in range(MESSAGES):
                got.append(await client.recv())
                room.release()
            await sending
            return got

    everything = await asyncio.gather(*(one(number) for number in range(WEBSOCKETS)))
    for number, got in enumerate(everything):
        assert got == [f"{number}:{message}" for message in range(MESSAGES)]


async def test_many_large_messages_keep_flowing_both_ways(stack: Stack) -> None:
    """Each is cut by the socket at some odd place; none may leave the gateway waiting for what it does not read."""
    pieces = [number.to_bytes(2, "big") * 40_000 for number in range(300)]

    async with websocket(stack.url("ws", "/echo", "ws")) as client:

        async def send() -> None:
            for piece in pieces:
                await client.send(piece)

        sending = asyncio.create_task(send())
        async with asyncio.timeout(60):
            for piece in pieces:
                assert await client.recv() == piece
            await sending

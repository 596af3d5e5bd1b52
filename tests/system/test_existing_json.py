"""The existing agent on its JSON path, with clients as they come: what works works as it does over yamux."""

import asyncio
import hashlib
import io
import json
import random
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.services.pattern import blocks, digest
from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.existing_json import OneCluster, Standin, start
from tests.system.harness import Service, Stack, free_port
from tests.system.outcomes import status
from tests.system.process import Processes
from tests.system.socketio_client import TRANSPORTS, connected

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

DOWN_BYTES = 20_000_000
UP_BYTES = 5_000_000
AT_ONCE = 50
MESSAGES = 1000


@pytest.fixture(scope="module")
def running(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, Standin]:
    stack = OneCluster(tmp_path_factory.mktemp("existing-json"), module_processes)
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    stack.add_program("chat", "tests.services.socketio_app")
    stack.add(Service("closed", free_port()))
    stack.start(agent=False)
    return stack, start(stack)


@pytest.fixture
def stack(running: tuple[Stack, Standin]) -> Iterator[Stack]:
    """Shared by the tests here; none of them breaks its agent, or makes it refuse anything."""
    stack, agent = running
    yield stack
    agent.assert_intact()
    lines = [line for line in stack.gateway.output() if "WARNING tunnel" in line or "ERROR" in line]
    # uvicorn's own complaint of every handshake that is refused with an answer
    assert not [line for line in lines if "ASGI callable returned without completing handshake." not in line]


async def test_requests_and_answers_as_they_were(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /echo/a%20b?q=1&r=%C3%A9 HTTP/1.1", "plain", "Cookie: a=1; b=2", "X-Two: 1", "X-Two: 2")
        seen = json.loads(client.answer().body)
        assert seen["line"] == "GET /echo/a%20b?q=1&r=%C3%A9 HTTP/1.1"
        fields = [(name.lower(), value) for name, value in seen["headers"]]
        assert [value for name, value in fields if name == "x-two"] == ["1", "2"]
        assert ("host", "plain.example.test") in fields
        assert ("cookie", "a=1; b=2") in fields
        client.request("POST /echo HTTP/1.1", "plain", "Content-Length: 4", body=b"body")
        seen = json.loads(client.answer().body)
        assert (seen["length"], seen["sha256"]) == (4, hashlib.sha256(b"body").hexdigest())
        assert ["content-length", "4"] in [[name.lower(), value] for name, value in seen["headers"]]
        client.request("HEAD /download?size=1000 HTTP/1.1", "plain")
        head = client.answer(head_only=True)
        assert (head.status, head.one("content-length")) == (200, "1000")
        client.request("GET /cookies HTTP/1.1", "plain")
        assert client.answer().all("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly", "c=3; Secure; SameSite=None"]
        client.request("GET /status?code=204 HTTP/1.1", "plain")
        assert client.answer().status == 204
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().body == b"small 1"


async def test_events_one_by_one(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.get(stack.url("plain", "/sse?channel=json")) as answer:
        for number in (1, 2, 3):
            async with http.post(stack.control("plain", f"/sse/push?channel=json&data={number}")) as pushed:
                assert pushed.status == 202
            assert await answer.content.readuntil(b"\n\n") == f"id: {number}\ndata: {number}\n\n".encode()
        async with http.post(stack.control("plain", "/sse/push?channel=json")):
            pass
        assert await answer.content.read() == b""


async def test_20_mb_down_arrive_whole(stack: Stack, http: aiohttp.ClientSession) -> None:
    sha256, length = hashlib.sha256(), 0
    async with http.get(stack.url("plain", f"/download?size={DOWN_BYTES}")) as answer:
        async for piece in answer.content.iter_any():
            sha256.update(piece)
            length += len(piece)
    assert (length, sha256.hexdigest()) == (DOWN_BYTES, digest(DOWN_BYTES))


@pytest.mark.parametrize("chunked", [False, True])
async def test_5_mb_up_arrive_whole(stack: Stack, http: aiohttp.ClientSession, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for block in blocks(UP_BYTES):
            yield block

    body = pieces() if chunked else io.BytesIO(b"".join(blocks(UP_BYTES)))
    async with http.post(stack.url("plain", "/upload"), data=body) as answer:
        got = await answer.json()
    assert (got["length"], got["sha256"]) == (UP_BYTES, digest(UP_BYTES))


async def test_many_at_once(stack: Stack) -> None:
    async with http_client(limit=AT_ONCE + 1) as http:
        answers = await asyncio.gather(
            *(http.get(stack.url("plain", f"/sse?channel=json-{number}")) for number in range(AT_ONCE))
        )
        assert [answer.status for answer in answers] == [200] * AT_ONCE
        for number in range(AT_ONCE):
            for data in (f"&data={number}", ""):
                await http.post(stack.control("plain", f"/sse/push?channel=json-{number}{data}"))
        bodies = await asyncio.gather(*(answer.read() for answer in answers))
    assert bodies == [f"id: 1\ndata: {number}\n\n".encode() for number in range(AT_ONCE)]


async def test_a_websocket_with_a_subprotocol(stack: Stack, http: aiohttp.ClientSession) -> None:
    url = stack.url("ws", "/echo?id=json-echo", "ws")
    async with websocket(url, subprotocols=["chat.v1", "chat.v2"]) as client:
        assert client.subprotocol == "chat.v2"
        for message in ("héllo", b"\x00\xff", "", b"", random.Random(1).randbytes(1_000_000)):
            await client.send(message)
            assert await client.recv() == message
        await client.close(4001, "client bye")
    async with http.get(stack.control("ws", "/closed?id=json-echo")) as closed:
        assert await closed.json(content_type=None) == {"code": 4001, "reason": "client bye"}


async def test_1000_messages_that_wait_for_their_answers_keep_their_order(stack: Stack) -> None:
    got = []
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        for number in range(MESSAGES):
            await client.send(str(number))
            got.append(await client.recv())
    assert got == [str(number) for number in range(MESSAGES)]


async def test_1000_messages_of_the_service_keep_their_order(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "flood", "count": MESSAGES, "size": 10}))
        got = [str(await client.recv()).partition(":")[0] for _ in range(MESSAGES)]
    assert got == [str(number) for number in range(MESSAGES)]


@TRANSPORTS
async def test_socketio(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack.url("chat"), transports) as client:
        assert client.transport() == final
        assert await client.call("echo", ("snow \u2603", {"file": b"\x00\xff"})) == [
            "snow \u2603",
            {"file": b"\x00\xff"},
        ]


async def test_what_the_service_refuses(stack: Stack, http: aiohttp.ClientSession) -> None:
    assert await status(http, stack, "closed") == 502
    async with http.get(stack.url("plain", "/nowhere")) as answer:
        assert (answer.status, await answer.read()) == (404, b"no such path here")
    with RawClient(stack.address("ws")) as client:
        fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        client.request("GET /refuse HTTP/1.1", "ws", *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        answer_ = client.answer()
        assert (answer_.status, answer_.one("x-why")) == (403, "because")


async def test_a_stranger_s_request_is_no_websocket_and_goes_to_no_kubernetes(stack: Stack) -> None:
    """That agent goes by single fields of the handshake, and by paths, where it is let."""
    strange = ("Sec-WebSocket-Protocol: x", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for field in strange:
        with RawClient(stack.address("plain")) as client:
            client.request("POST /upload HTTP/1.1", "plain", field, f"Content-Length: {UP_BYTES}", body=bytes(UP_BYTES))
            answer = client.answer()
            assert (answer.status, json.loads(answer.body)["length"]) == (200, UP_BYTES)
    for path in ("/api/v1/pods", "/apis", "/healthz", "/version"):
        with RawClient(stack.address("plain")) as client:
            client.request(f"GET {path} HTTP/1.1", "plain")
            answer = client.answer()
            assert (answer.status, answer.one("x-service")) == (404, "plain")


async def test_what_its_path_cannot_say_is_refused_before_it_is_asked(stack: Stack) -> None:
    """It would refuse `..` itself, and mistake an encoded slash."""
    for path in ("/a..b", "/a%2Fb", "/a;b", "/?a;b"):
        with RawClient(stack.address("plain")) as client:
            client.request(f"GET {path} HTTP/1.1", "plain")
            answer = client.answer()
            assert (answer.status, b"json dialect" in answer.body) == (400, True)

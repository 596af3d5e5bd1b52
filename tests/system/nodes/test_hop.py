"""Clients at one node, an agent at another, of each dialect: the core of what a hop carries, with real gateways.

`SYSTEM_NODES=3` runs the whole list of the other files like this, `SYSTEM_DIALECT=json` over another dialect.
"""

import hashlib
import io
import json
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.services.pattern import blocks, digest
from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import add_services, tunnel_only
from tests.system.nodes.stack import NodesStack
from tests.system.process import Processes

pytestmark = [pytest.mark.anyio, tunnel_only]

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["yamux", "json", "chunk"])
def nodes(
    request: pytest.FixtureRequest,
    module_processes: Processes,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> NodesStack:
    stack = NodesStack(tmp_path_factory.mktemp(f"nodes-{request.param}"), module_processes)
    stack.dialect = request.param
    add_services(stack, authority)
    return stack.start()


async def test_a_request_as_it_was(nodes: NodesStack) -> None:
    with RawClient(nodes.address("plain")) as client:
        for _ in range(3):  # on one connection, and on one stream between the nodes
            client.request("GET /echo/a%20b?q=1&r=%C3%A9 HTTP/1.1", "plain", "Cookie: a=1; b=2", "X-Two: 1", "X-Two: 2")
            seen = json.loads(client.answer().body)
            assert seen["line"] == "GET /echo/a%20b?q=1&r=%C3%A9 HTTP/1.1"
            fields = [(name.lower(), value) for name, value in seen["headers"]]
            assert [value for name, value in fields if name == "x-two"] == ["1", "2"]
            assert ("cookie", "a=1; b=2") in fields
            for name in ("x-forwarded-for", "x-request-id", "host"):
                assert len([value for known, value in fields if known == name]) == 1, "of one node only"


async def test_bodies_both_ways(nodes: NodesStack) -> None:
    async with http_client() as http:
        for size in (0, 1, 100_000, 6 * MIB):
            body = io.BytesIO(b"".join(blocks(size)))
            async with http.post(nodes.url("plain", "/upload"), data=body) as answer:
                got = await answer.json()
            assert (got["length"], got["sha256"]) == (size, digest(size))
        for how in ("length", "chunked"):
            async with http.get(nodes.url("plain", f"/download?size={8 * MIB}&how={how}")) as answer:
                assert hashlib.sha256(await answer.read()).hexdigest() == digest(8 * MIB)


async def test_what_the_dialect_cannot_carry_is_refused_and_nothing_else(nodes: NodesStack) -> None:
    due = 200 if nodes.dialect == "yamux" else 400
    async with http_client() as http:
        for _ in range(3):
            for method in ("GET", "POST"):
                async with http.request(method, nodes.url("plain", "/echo/a;b")) as answer:
                    assert answer.status == due
                async with http.request(method, nodes.url("plain", "/echo")) as answer:
                    assert answer.status == 200


async def test_a_client_that_waits_for_a_100(nodes: NodesStack) -> None:
    with RawClient(nodes.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", "Content-Length: 5", "Expect: 100-continue")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert json.loads(client.answer().body)["length"] == 5


async def test_events_come_one_by_one(nodes: NodesStack) -> None:
    async with http_client() as http, http.get(nodes.url("plain", "/sse?channel=hop")) as answer:
        for number in range(10):
            async with http.post(nodes.control("plain", f"/sse/push?channel=hop&data=event-{number}")):
                pass
            assert await answer.content.readuntil(b"\n\n") == f"id: {number + 1}\ndata: event-{number}\n\n".encode()


async def test_a_broken_answer_is_broken_off(nodes: NodesStack) -> None:
    async with http_client() as http:
        for how in ("length", "chunked"):
            async with http.get(nodes.url("plain", f"/break-off?how={how}&id=hop-{how}")) as answer:
                assert answer.status == 200
                async with http.post(nodes.control("plain", f"/release?id=hop-{how}")):
                    pass
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()


async def test_websockets(nodes: NodesStack) -> None:
    async with websocket(nodes.url("ws", "/echo", "ws"), subprotocols=["chat.v1", "chat.v2"]) as client:
        assert client.subprotocol is not None
        for message in ("", "snow \u2603", b"", b"\x00\xff", "x" * MIB, bytes(MIB)):
            await client.send(message)
            assert await client.recv() == message
        await client.close(4001, "bye")
    assert client.close_code == 4001
    async with http_client() as http, websocket(nodes.url("ws", "/command?id=hop", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4002, "reason": "own"}))
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4002, "own")
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(nodes.url("ws", "/refuse", "ws")):
                pass
        assert refused.value.response.status_code == 403
        async with http.get(nodes.url("plain", "/echo")) as answer:
            assert answer.status == 200


async def test_services_that_speak_tls(nodes: NodesStack) -> None:
    verified = nodes.dialect == "yamux"  # agents of the other dialects verify no certificate, and their routes say so
    body = b"".join(blocks(MIB))
    url = nodes.url("secure" if verified else "unverified", "/upload")
    async with http_client() as http, http.post(url, data=body) as answer:
        assert (await answer.json())["sha256"] == digest(MIB)
    if verified:
        async with websocket(nodes.url("wss", "/echo", "ws")) as client:
            await client.send("over TLS")
            assert await client.recv() == "over TLS"


async def test_the_service_sees_its_client_leave(nodes: NodesStack) -> None:
    with RawClient(nodes.address("plain")) as client:
        client.request("GET /download?id=hop-gone&size=500000000 HTTP/1.1", "plain")
        assert client.answer_head().status == 200
    async with http_client() as http, http.get(nodes.control("plain", "/left?id=hop-gone")) as answer:
        assert await answer.text() == "left"


@pytest.mark.parametrize("dialect", ["yamux", "json"])
async def test_an_agent_that_is_lost_is_told_as_1012(processes: Processes, tmp_path: Path, dialect: str) -> None:
    stack = NodesStack(tmp_path, processes)
    stack.dialect = dialect
    stack.add_program("ws", "tests.services.websocket")
    stack.start()
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("here")
        assert await client.recv() == "here"
        stack.agent.kill()
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1012

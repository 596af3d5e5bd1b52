"""Clients at one node, agents of `json` and `chunk` at the other: the core of what a hop carries, with real processes.

`SYSTEM_NODES=2 SYSTEM_DIALECT=json` runs the whole list of the other files like this.
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
from tests.system.conftest import tunnel_only
from tests.system.process import Processes
from tests.system.two_nodes import TwoNodes

pytestmark = [pytest.mark.anyio, tunnel_only]

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["json", "chunk"])
def nodes(
    request: pytest.FixtureRequest, module_processes: Processes, tmp_path_factory: pytest.TempPathFactory
) -> TwoNodes:
    stack = TwoNodes(tmp_path_factory.mktemp(f"nodes-{request.param}"), module_processes)
    stack.dialect = request.param
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    stack.start()
    return stack


async def test_a_request_as_it_was(nodes: TwoNodes) -> None:
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


async def test_bodies_both_ways(nodes: TwoNodes) -> None:
    async with http_client() as http:
        for size in (0, 1, 100_000, 6 * MIB):
            body = io.BytesIO(b"".join(blocks(size)))
            async with http.post(nodes.url("plain", "/upload"), data=body) as answer:
                got = await answer.json()
            assert (got["length"], got["sha256"]) == (size, digest(size))
        for how in ("length", "chunked"):
            async with http.get(nodes.url("plain", f"/download?size={8 * MIB}&how={how}")) as answer:
                assert hashlib.sha256(await answer.read()).hexdigest() == digest(8 * MIB)


async def test_what_the_dialect_cannot_carry_is_refused_and_nothing_else(nodes: TwoNodes) -> None:
    async with http_client() as http:
        for _ in range(3):
            for method in ("GET", "POST"):
                async with http.request(method, nodes.url("plain", "/echo/a;b")) as answer:
                    assert answer.status == 400
                async with http.request(method, nodes.url("plain", "/echo")) as answer:
                    assert answer.status == 200


async def test_a_client_that_waits_for_a_100(nodes: TwoNodes) -> None:
    with RawClient(nodes.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", "Content-Length: 5", "Expect: 100-continue")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert json.loads(client.answer().body)["length"] == 5


async def test_events_come_one_by_one(nodes: TwoNodes) -> None:
    async with http_client() as http, http.get(nodes.url("plain", "/sse?channel=hop")) as answer:
        for number in range(10):
            async with http.post(nodes.control("plain", f"/sse/push?channel=hop&data=event-{number}")):
                pass
            assert await answer.content.readuntil(b"\n\n") == f"id: {number + 1}\ndata: event-{number}\n\n".encode()


async def test_a_broken_answer_is_broken_off(nodes: TwoNodes) -> None:
    async with http_client() as http:
        for how in ("length", "chunked"):
            async with http.get(nodes.url("plain", f"/break-off?how={how}&id=hop-{how}")) as answer:
                assert answer.status == 200
                async with http.post(nodes.control("plain", f"/release?id=hop-{how}")):
                    pass
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()


async def test_websockets(nodes: TwoNodes) -> None:
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


async def test_an_agent_that_is_lost_is_told_as_1012(processes: Processes, tmp_path: Path) -> None:
    stack = TwoNodes(tmp_path, processes)
    stack.dialect = "json"
    stack.add_program("ws", "tests.services.websocket")
    stack.start()
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("here")
        assert await client.recv() == "here"
        stack.agent.kill()
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1012

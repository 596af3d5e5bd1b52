"""An agent that breaks its protocol: each fault ends its own exchange or link, with a line that names the rule.

Beside the harmed exchange another one waits on the same link, and a third goes through another cluster's agent.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.existing_json import Standin
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, Service, Stack, free_port
from tests.system.hostile import Hostile, hostile
from tests.system.process import Memory, Processes, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

HEAD_SECONDS = 1.0
MIB = 1024 * 1024
HEADER, CHUNK, END, ABORT, WHOLE = (
    "proxy_response_header", "proxy_response_chunk", "proxy_response_end", "proxy_response_abort", "proxy_response"
)  # fmt: skip
WELL = base64.b64encode(b"well").decode()


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return orderly_and_hostile(tmp_path_factory.mktemp("hostile"), module_processes)


def orderly_and_hostile(folder: Path, processes: Processes) -> Stack:
    """`plain` is the hostile agent's, `other` is served by an orderly one."""
    stack = Stack(folder, processes, {"response_head_timeout": HEAD_SECONDS})
    stack.add(Service("plain", free_port()))
    other = stack.add_program("other", "tests.services.plain", "--name", "other")
    stack.services["other"] = Service("other", other.port, cluster="c2")
    stack.start(agent=False)
    process = stack.processes.python(
        "orderly agent",
        "tests.existing",
        *("--gateway", f"ws://{LOOPBACK}:{stack.port}/ws", "--token", TOKEN, "--cluster", "c2", "--entry", "gateway"),
        *("--agent-id", "orderly", f"--service=other.{NAMESPACE}:80={LOOPBACK}:{other.port}"),
    )
    process.wait_line("ready")
    stack.gateway.wait_line("serves cluster c2")
    stack.programs["orderly"] = process
    return stack


@asynccontextmanager
async def undisturbed(stack: Stack, agent: Hostile | None, http: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Around whatever harm: a request on the same link, if it survives, and others beside it."""
    async with http.get(stack.url("other", f"/sse?channel={id(http)}")) as event_stream:
        neighbour = asyncio.create_task(body_of(http, stack.url("plain", "/neighbour"))) if agent is not None else None
        request_id = await agent.asked() if agent is not None else ""
        try:
            yield
            if agent is not None and neighbour is not None:
                await agent.answer(request_id)
                assert await neighbour == (200, b"well")
                await agent.lives("after all")
        finally:
            if neighbour is not None:
                neighbour.cancel()
        for data in ("&data=on", ""):
            async with http.post(stack.control("other", f"/sse/push?channel={id(http)}{data}")) as pushed:
                assert pushed.status == 202
        assert await event_stream.read() == b"id: 1\ndata: on\n\n"
    Standin(stack.programs["orderly"]).assert_intact()


async def body_of(http: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    """Status and body; `broken off` for a body without its end."""
    async with http.get(url) as answer:
        try:
            return answer.status, await answer.read()
        except aiohttp.ClientPayloadError:
            return answer.status, b"broken off"


def said(stack: Stack, *needles: str) -> bool:
    """Whether one line of the gateway's says all that."""
    return any(all(needle in line for needle in needles) for line in stack.gateway.output())


def times_said(stack: Stack, needle: str) -> int:
    """How many lines of the gateway's say that."""
    return sum(needle in line for line in stack.gateway.output())


def fields(headers: object) -> list[tuple[str, Any]]:
    return [(HEADER, {"status": 200, "headers": headers}), (CHUNK, {"data": WELL}), (END, {})]


BROKEN: dict[str, tuple[list[tuple[str, Any]], int, str]] = {
    "a chunk before the header": ([(CHUNK, {"data": WELL})], 502, "before the header"),
    "an end before the header": ([(END, {})], 502, "before the header"),
    "data that is not base64": ([(WHOLE, {"status": 200, "body": "%%%", "encoding": "base64"})], 502, "base64"),
    "an encoding nobody knows": ([(WHOLE, {"status": 200, "body": "x", "encoding": "br"})], 502, "encoding"),
    "a gzip that is none": ([(WHOLE, {"status": 200, "body": WELL, "encoding": "gzip"})], 502, "gzip"),
    "101 for no WebSocket": ([(HEADER, {"status": 101}), (END, {})], 502, "no final status"),
    "status 0": ([(HEADER, {"status": 0})], 502, "no final status"),
    "status 99": ([(HEADER, {"status": 99})], 502, "no final status"),
    "status 1000": ([(HEADER, {"status": 1000})], 502, "no final status"),
    "a negative status": ([(HEADER, {"status": -200})], 502, "no final status"),
    "a status beyond all numbers": ([(HEADER, {"status": 10**40})], 502, "no final status"),
    "a status with a fraction": ([(HEADER, {"status": 200.5})], 502, "payload"),
    "a status in letters": ([(HEADER, {"status": "200"})], 502, "payload"),
    "no payload to speak of": ([(HEADER, [1])], 502, "payload"),
    "a line end in a value": (fields({"X-A": ["1\r\nSet-Cookie: stolen=1\r\n\r\n<html>"]}), 502, "control characters"),
    "a lone line feed in a value": (fields({"X-A": ["1\nX-B: 2"]}), 502, "control characters"),
    "a NUL in a value": (fields({"X-A": ["\0"]}), 502, "control characters"),
    "a line end in a name": (fields({"X-A\r\nX-B": ["1"]}), 502, "not a token"),
    "a colon in a name": (fields({"X-A: 1": ["1"]}), 502, "not a token"),
    "an empty name": (fields({"": ["1"]}), 502, "not a token"),
    "a value of 1 MiB": (fields({"X-A": ["x" * MIB]}), 502, "bytes of fields"),
    "10,000 fields": (fields({f"X-Field-{n}": ["value"] for n in range(10_000)}), 502, "bytes of fields"),
    "10,000 values": (fields({"X-A": ["0123456789abcdef"] * 10_000}), 502, "bytes of fields"),
    "a negative length": (fields({"Content-Length": ["-1"]}), 502, "Content-Length"),
    "two lengths": (fields({"Content-Length": ["4", "5"]}), 502, "Content-Length"),
    "a length of letters": (fields({"Content-Length": ["0x4"]}), 502, "Content-Length"),
}  # fmt: skip
"""What is said of the harmed exchange, what its client gets, and the rule that the log names."""


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_rule_ends_its_own_exchange(stack: Stack, name: str) -> None:
    messages, status, rule = BROKEN[name]
    path = f"/victim-{list(BROKEN).index(name)}"
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        victim = asyncio.create_task(body_of(http, stack.url("plain", path)))
        request_id = await agent.asked()
        for kind, payload in messages:
            await agent.say(kind, request_id, payload)
        code, body = await victim
        assert code == status
        assert b"stolen" not in body
        assert json.loads(body)["code"] == "bad_answer"
        wait_until(lambda: said(stack, f"{path} 502", "by hostile", rule), 30, f"the log names {rule!r}")


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        ([(HEADER, {"status": 200}), (CHUNK, {"data": WELL}), (HEADER, {"status": 200})], "second"),
        ([(HEADER, {"status": 200}), (CHUNK, {"data": WELL}), (WHOLE, {"status": 200})], "after a"),
        ([(HEADER, {"status": 200}), (CHUNK, {"data": WELL}), (CHUNK, {"data": "-"})], "base64"),
        ([(HEADER, {"status": 200, "headers": {"Content-Length": ["2"]}}), (CHUNK, {"data": WELL})], "more body"),
        ([(HEADER, {"status": 200, "headers": {"Content-Length": "9"}}), (CHUNK, {"data": WELL}), (END, {})], "4 of 9"),
    ],
)  # fmt: skip
async def test_a_rule_broken_in_the_body_breaks_the_answer_off(
    stack: Stack, messages: list[tuple[str, Any]], rule: str
) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        opening = asyncio.create_task(http.get(stack.url("plain", "/victim")).__aenter__())
        request_id = await agent.asked()
        (kind, head), *rest = messages
        await agent.say(kind, request_id, head)
        answer = await opening
        for kind, payload in rest:
            await agent.say(kind, request_id, payload)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
        answer.close()
        wait_until(lambda: said(stack, "/victim 200", "by hostile", rule), 30, f"the log names {rule!r}")


async def test_no_answer_a_late_one_and_one_too_many(stack: Stack) -> None:
    """Ours is the deadline; what comes after it, or twice, is nobody's."""
    async with http_client() as http, hostile(stack) as agent:
        silent = asyncio.create_task(body_of(http, stack.url("plain", "/silent")))
        silent_id = await agent.asked()
        assert (await silent)[0] == 504
        async with undisturbed(stack, agent, http):
            await agent.answer(silent_id, b"late")
            victim = asyncio.create_task(body_of(http, stack.url("plain", "/victim")))
            request_id = await agent.asked()
            await agent.answer(request_id, b"once")
            await agent.answer(request_id, b"twice")
            assert await victim == (200, b"once")


async def test_sizes_that_it_makes_up_count_for_nothing(stack: Stack) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        victim = asyncio.create_task(body_of(http, stack.url("plain", "/victim")))
        request_id = await agent.asked()
        await agent.say(HEADER, request_id, {"status": 200, "headers": None})
        for size in (-1, 0, 10**15):
            await agent.say(CHUNK, request_id, {"data": WELL, "size": size})
        await agent.say(END, request_id)
        assert await victim == (200, b"well" * 3)


@pytest.mark.parametrize("made_up", ["never-was", "x" * 100_000, "\u0000\r\n\u2028", "0" * 32, "", 5, None])
async def test_ids_that_it_makes_up_are_nobody_s(stack: Stack, made_up: object) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        kinds = (HEADER, CHUNK, END, ABORT, WHOLE, "proxy_error", "proxy_websocket_data", "proxy_websocket_close",
                 "backpressure", "ws_data", "ws_close", "gateway_hello_ack", "register", "stream_refused",
                 "proxy_request", "register_success", "heartbeat")  # fmt: skip
        for kind in kinds:
            await agent.say(kind, made_up, {"status": 200, "data": "AQ==", "use_yamux": True, "stream_id": 2})
        await agent.lives("so far")


GARBAGE: list[tuple[str | bytes, str]] = [
    ("garbage", "not an envelope"),
    ("", "not an envelope"),
    ("[" * 100_000, "not an envelope"),
    ('{"type":"x","payload":' + '{"a":' * 100_000, "not an envelope"),
    ('{"type":5,"payload":{}}', "not an envelope"),
    ('{"payload":{}}', "not an envelope"),
    (b"{" + bytes(range(0x80, 0xFF)), "not an envelope"),
    (b"\x00", "a binary answer is cut off"),
    (b"\xff" * 1000, "a binary answer is cut off"),
    (b"\x00\x01x" + (200).to_bytes(4, "big") + b"\xff" * 4, "a binary answer ends in its headers"),
    (b"\x00\x01x" + (200).to_bytes(4, "big") + (3).to_bytes(4, "big") + b"[1]", "bad headers"),
    (b"\x00\x01\xff" + (200).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"{}", "not a binary answer"),
]


async def test_garbage_is_skipped_and_named(processes: Processes, tmp_path: Path) -> None:
    """At a gateway of its own: warnings of one kind are thinned out beyond 20 in 10 s."""
    stack = orderly_and_hostile(tmp_path, processes)
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        for number, (garbage, rule) in enumerate(GARBAGE):
            await agent.wire.send(garbage)
            await agent.lives(f"after {number}")
            wait_until(lambda: len(skips(stack)) > number, 30, f"the log names {rule!r}")  # noqa: B023
            assert (len(skips(stack)), rule in skips(stack)[-1]) == (number + 1, True)


def skips(stack: Stack) -> list[str]:
    return [line for line in stack.gateway.output() if "message skipped" in line]


async def test_a_101_that_is_taken_back(stack: Stack) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        opening = asyncio.create_task(open_and_close(stack))
        request_id = await agent.asked()
        await agent.say(HEADER, request_id, {"status": 101, "headers": {"Upgrade": ["websocket"]}})
        await agent.say(ABORT, request_id, {"error": "failed to connect: dial tcp 10.1.2.3:80"})
        assert await opening == 502


async def test_data_before_the_101(stack: Stack) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
        opening = asyncio.create_task(open_and_close(stack))
        request_id = await agent.asked()
        await agent.say("proxy_websocket_data", request_id, {"data": base64.b64encode(b"\x01hi").decode()})
        assert await opening == 502
        wait_until(lambda: said(stack, "/ws refused", "before the 101"), 30, "the log names the rule")


async def open_and_close(stack: Stack) -> int:
    try:
        async with websocket(stack.url("plain", "/ws", "ws")):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_a_message_without_a_type_ends_its_websocket(processes: Processes, tmp_path: Path) -> None:
    stack = orderly_and_hostile(tmp_path, processes)
    for data in (b"", b"\x00hi", b"\x07hi"):
        async with http_client() as http, hostile(stack) as agent, undisturbed(stack, agent, http):
            opening = asyncio.create_task(receive_one(stack))
            request_id = await agent.asked()
            await agent.say(HEADER, request_id, {"status": 101, "headers": {}})
            await agent.say(END, request_id)
            await agent.say("proxy_websocket_data", request_id, {"data": base64.b64encode(data).decode()})
            assert await opening == 1011
            rule = "no valid message type"
            wait_until(lambda: said(stack, request_id, rule), 30, "the log names the rule")  # noqa: B023


async def receive_one(stack: Stack) -> int | None:
    async with websocket(stack.url("plain", "/ws", "ws")) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        return client.close_code


@app_only("it ends the link itself, without a reason of ours")
@pytest.mark.parametrize("frames", [1, 64])
async def test_a_message_of_64_mib_costs_its_link_alone(stack: Stack, frames: int) -> None:
    async with http_client() as http, hostile(stack) as agent, undisturbed(stack, None, http):
        victim = asyncio.create_task(body_of(http, stack.url("plain", "/victim")))
        await agent.asked()
        gone = "agent hostile of cluster c1 is gone: closed with 1009 message above"
        before = times_said(stack, gone)
        with Memory(stack.gateway) as memory:
            with pytest.raises(ConnectionClosed):
                await flood(agent, [" " * (64 * MIB // frames)] * frames)
            assert agent.wire.close_code in {1009, 1006}  # 1006: what it still sent met a closed socket
        memory.assert_below(48)
        assert (await victim)[0] == 504  # a GET waits for its agent's next link, which does not come in time
        wait_until(lambda: times_said(stack, gone) > before, 30, "the log names the rule")
        async with http.get(stack.url("other", "/small?n=1")) as answer:
            assert await answer.read() == b"small 1"


async def flood(agent: Hostile, pieces: list[str]) -> None:
    await agent.wire.send(pieces if len(pieces) > 1 else pieces[0])
    await agent.wire.wait_closed()
    await agent.wire.send("closed?")


async def test_no_client_ever_saw_a_second_answer(stack: Stack) -> None:
    """Response splitting, looked at as bytes: one head, one body, and the connection is good for the next request."""
    async with hostile(stack) as agent:
        with RawClient(stack.address("plain")) as client:
            client.request("GET /victim HTTP/1.1", "plain")
            request_id = await agent.asked()
            evil = "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
            await agent.say(WHOLE, request_id, {"status": 200, "headers": {"X-A": evil, "Location": [evil]}})
            answer = await asyncio.to_thread(client.answer)
            assert (answer.status, b"stolen" in answer.head + answer.body + client.buffer) == (502, False)
            client.request("GET /next HTTP/1.1", "plain")
            await agent.answer(await agent.asked())
            assert (await asyncio.to_thread(client.answer)).body == b"well"

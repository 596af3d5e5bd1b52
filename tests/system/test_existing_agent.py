"""The agent that is already out there, played on its own libraries by tests/go, against the real gateway.

It is started as its operators do, with nothing but the API's address and a token, and keeps its quirks: it redials
after 0.5, 1, 2 s (a quarter longer at most), is silent on a new connection while streams of the old one live (30 s
at most), and never closes a connection. What takes 30 s begins first and is looked at last.
"""

import asyncio
import hashlib
import json
import random
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosedError

from tests.go.build import go_binary
from tests.services.pattern import blocks, digest
from tests.system.clients import RESET, RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, Service, Stack, free_port
from tests.system.neighbours import stop_reading
from tests.system.outcomes import SILENT, WEBSOCKETS, closing_after, positions, status, why_gone
from tests.system.process import Process, Processes, wait_until
from tests.system.relay import Relay
from tests.system.test_two_agents import second_service

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

MIB = 1024 * 1024
SIZE_BYTES = 100_000_000
AT_ONCE = 100
MESSAGES = 1000
IN_FLIGHT = 100
REDIAL_SECONDS = 2.5
"""The longest of its first three delays: what may pass after a restart of the gateway that took a few seconds."""
SESSION_SECONDS = 5.0 + 13.0
"""Keep-alive and its timeout, as our hello asks: so long after a crash the agent knows of its session's end."""
PATIENCE_SECONDS = 30.0
"""For how long it waits for the streams of a lost connection."""
STREAMS_LEFT = "streams still open"
"""What it says when that is over."""
DELAY_SECONDS = 15.0
"""What a busy machine may add before a test is given up."""

Make = Callable[..., Stack]


def start_existing(
    stack: Stack, *options: str, agent_id: str = "go-1", port: int | None = None, services: dict[str, int] | None = None
) -> Process:
    """Start one and wait until both sides say that it serves; `port`: of the API, where not the gateway's own."""
    before = count(stack.gateway, " serves cluster ")
    agent = start_existing_only(stack, *options, agent_id=agent_id, port=port, services=services)
    agent.wait_line("yamux ready")
    # The agent says so before its word has reached the gateway.
    wait_count(stack.gateway, " serves cluster ", before + 1, 10)
    return agent


def start_existing_only(
    stack: Stack,
    *options: str,
    agent_id: str = "go-1",
    port: int | None = None,
    services: dict[str, int] | None = None,
    token: str = TOKEN,
) -> Process:
    ports = services or {}
    names = [
        f"--resolve={item.name}.{NAMESPACE}.svc.cluster.local:{item.public_port}"
        f"={LOOPBACK}:{ports.get(item.name, item.port)}"
        for item in stack.services.values()
    ]
    api = f"http://{LOOPBACK}:{port or stack.port}"
    command = [str(go_binary()), "existing-agent", "--api", api, "--token", token, "--name", "c1"]
    return stack.processes.start(f"existing {agent_id}", [*command, "--agent-id", agent_id, *names, *options])


def count(process: Process, needle: str) -> int:
    return sum(needle in line for line in process.output())


def wait_count(process: Process, needle: str, times: int, seconds: float) -> None:
    wait_until(lambda: count(process, needle) >= times, seconds, f"{process!r} says {needle!r} {times} times")


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Shared by the tests here that break nothing; its only agent is the existing one."""
    stack = Stack(tmp_path_factory.mktemp("existing"), module_processes)
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    stack.add(Service("closed", free_port()))
    stack.start(agent=False)
    start_existing(stack)
    return stack


Crash = tuple[Stack, Process]


def crash(stack: Stack, folder: Path, path: str) -> Crash:
    """A gateway that was killed during this request, or after it, and came back, and an agent that redialled it."""
    own = Stack(folder, stack.processes)
    plain = own.add(stack.services["plain"])
    own.start(agent=False)
    agent = start_existing(own)
    with RawClient(own.address(plain.name)) as client:
        client.request(f"GET {path} HTTP/1.1", plain.name)
        if "black-hole" in path:
            with urlopen(own.control(plain.name, path.replace("black-hole", "arrived"))) as arrived:
                assert arrived.read() == b"arrived"
        else:
            assert client.answer().status == 200
        own.gateway.kill()
    own.start_gateway()
    wait_count(agent, "gateway connected", 2, REDIAL_SECONDS + DELAY_SECONDS)
    return own, agent


@pytest.fixture(scope="module")
def silent(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Crash:
    """Silent for as long as it can be: a service that neither answers nor leaves holds a stream of the old session."""
    return crash(stack, tmp_path_factory.mktemp("silent"), "/black-hole?id=silence")


@pytest.fixture(scope="module")
def pooled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Crash:
    """Silent because of an idle connection to a service: the gateway could not end it."""
    return crash(stack, tmp_path_factory.mktemp("pooled"), "/small?n=1")


async def test_while_it_is_silent_requests_get_503_after_the_grace(pooled: Crash, silent: Crash) -> None:
    own, agent = silent
    async with http_client() as http:
        assert await status(http, own) == 503
    assert count(agent, "yamux ready") == 1


@pytest.mark.parametrize("public", [True, False], ids=["public_url", "no-public_url"])
async def test_it_is_told_the_public_url_or_else_the_address_that_it_used(own_stack: Make, public: bool) -> None:
    stack = own_stack()
    if public:
        stack.settings["public_url"] = f"http://{LOOPBACK}:{stack.port}"
    stack.start(agent=False)
    with Relay(stack.port) as relay:
        agent = start_existing(stack, port=relay.port)
        port = stack.port if public else relay.port
        assert f"cluster_id=c1 cluster_uuid=c1 gateway_ws_url=ws://{LOOPBACK}:{port}/ws" in agent.wait_line(
            "registered"
        )
        async with http_client() as http:
            assert await status(http, stack) == 200
        assert relay.connections == (1 if public else 2)


def test_its_heartbeats_are_acknowledged(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    with Relay(stack.port, watch=b'"type":"heartbeat_ack"') as relay:
        start_existing(stack, "--heartbeat", "0.1", port=relay.port)
        wait_until(lambda: relay.watched >= 5, 30, "five heartbeats are acknowledged")


def test_small_answers_heads_cookies_and_paths_arrive_as_they_were(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().body == b"small 1"
        client.request("HEAD /small?n=123 HTTP/1.1", "plain")
        head = client.answer(head_only=True)
        assert (head.status, head.one("content-length")) == (200, str(len("small 123")))
        client.request("GET /cookies HTTP/1.1", "plain")
        cookies = ["a=1; Path=/", "b=2; HttpOnly", "c=3; Secure; SameSite=None"]
        assert client.answer().all("set-cookie") == cookies
        client.request("GET /echo/a%2Fb;v=1?q=%2F&q HTTP/1.1", "plain")
        seen = json.loads(client.answer().body)
    assert seen["line"] == "GET /echo/a%2Fb;v=1?q=%2F&q HTTP/1.1"
    assert ["host", "plain.example.test"] in [[name.lower(), value] for name, value in seen["headers"]]


async def test_100_requests_at_once_have_100_streams(stack: Stack) -> None:
    """All are open when the first one is answered."""
    async with http_client(limit=AT_ONCE + 1) as http:
        urls = [stack.url("plain", f"/sse?channel=at-once-{number}") for number in range(AT_ONCE)]
        answers = await asyncio.gather(*(http.get(url) for url in urls))
        assert [answer.status for answer in answers] == [200] * AT_ONCE
        for number in range(AT_ONCE):
            for data in (f"&data={number}", ""):
                pushed = await http.post(stack.control("plain", f"/sse/push?channel=at-once-{number}{data}"))
                assert pushed.status == 202
        bodies = await asyncio.gather(*(answer.read() for answer in answers))
    assert bodies == [f"id: 1\ndata: {number}\n\n".encode() for number in range(AT_ONCE)]


async def test_100_mb_down_arrive_whole(stack: Stack, http: aiohttp.ClientSession) -> None:
    sha256, length = hashlib.sha256(), 0
    async with http.get(stack.url("plain", f"/download?size={SIZE_BYTES}")) as answer:
        async for piece in answer.content.iter_any():
            sha256.update(piece)
            length += len(piece)
    assert (length, sha256.hexdigest()) == (SIZE_BYTES, digest(SIZE_BYTES))


async def test_100_mb_up_arrive_whole(stack: Stack, http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for block in blocks(SIZE_BYTES):
            yield block

    async with http.post(stack.url("plain", "/upload"), data=pieces()) as answer:
        got = await answer.json()
    assert (got["length"], got["sha256"]) == (SIZE_BYTES, digest(SIZE_BYTES))


async def test_a_websocket_keeps_the_order_of_1000_messages(stack: Stack) -> None:
    room = asyncio.Semaphore(IN_FLIGHT)
    async with websocket(stack.url("ws", "/echo", "ws")) as client:

        async def send() -> None:
            for number in range(MESSAGES):
                await room.acquire()
                await client.send(str(number))

        sending = asyncio.create_task(send())
        got = []
        for _ in range(MESSAGES):
            got.append(await client.recv())
            room.release()
        await sending
    assert got == [str(number) for number in range(MESSAGES)]


async def test_a_message_of_9_mib_passes_both_ways(stack: Stack) -> None:
    message = random.Random(9).randbytes(9 * MIB)
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_a_close_by_the_service_reaches_the_client(stack: Stack) -> None:
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4001, "reason": "bye"}))
        with pytest.raises(ConnectionClosedError):
            await client.recv()
    assert (client.close_code, client.close_reason) == (4001, "bye")


async def test_a_service_that_refuses_the_connection_is_a_502(stack: Stack, http: aiohttp.ClientSession) -> None:
    assert await status(http, stack, "closed") == 502
    assert await status(http, stack) == 200


async def test_the_service_sees_its_client_leave(stack: Stack, http: aiohttp.ClientSession) -> None:
    """By a reset; a client that only ends its side may still read for 5 s, whichever agent it is (`test_http.py`)."""
    with RawClient(stack.address("plain")) as client:
        client.request("GET /never?id=leaves HTTP/1.1", "plain")
        async with http.get(stack.control("plain", "/arrived?id=leaves")) as arrived:
            assert arrived.status == 200
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    async with http.get(stack.control("plain", "/left?id=leaves")) as left:
        assert await left.read() == b"left"


async def test_a_download_that_nobody_reads_delays_no_small_request(stack: Stack) -> None:
    with ExitStack() as clients:
        clients.enter_context(stop_reading(stack, "existing-stalls"))
        async with http_client(limit=10) as http:
            codes = await asyncio.gather(*(status(http, stack) for _ in range(300)))
    assert Counter(codes) == {200: 300}


async def test_it_resumes_at_the_gateway_whose_address_it_kept(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    agent = start_existing(stack, "--gateway", f"ws://{LOOPBACK}:{stack.port}/ws", "--cluster-id", "c1")
    async with http_client() as http:
        assert await status(http, stack) == 200
    assert count(agent, "registered") == count(agent, "resume failed") == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_it_is_back_after_the_gateways_restart(own_stack: Make, how: signal.Signals) -> None:
    """A gateway that stops in order also ends the idle connections to services: else the agent waits for them."""
    stack = own_stack().start(agent=False)
    agent = start_existing(stack)
    async with http_client() as http:
        if how is signal.SIGTERM:
            assert await status(http, stack) == 200
        stack.gateway.signal(how)
        stack.gateway.wait_end()
        stack.start_gateway()
        wait_count(agent, "yamux ready", 2, REDIAL_SECONDS + DELAY_SECONDS)
        assert await status(http, stack) == 200


async def test_killed_it_costs_websockets_a_1012_and_503_follows_the_grace(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    assert await closing_after(stack, start_existing(stack).kill) == [1012] * WEBSOCKETS
    assert not why_gone(stack.gateway).startswith(SILENT)
    async with http_client() as http:
        assert [await status(http, stack) for _ in range(2)] == [503, 503]


async def test_an_unknown_token_is_a_503_and_it_keeps_trying(own_stack: Make) -> None:
    """Its gateway forgets the token, as after a wrong change, and knows it again."""
    stack = own_stack().start(agent=False)
    stranger = start_existing_only(stack, token="unknown")
    stack.gateway.wait_line("closed with 1013: The agent's token is unknown")
    assert stranger.wait_end() == 1, "it exits, and is started again; it does not stay away"
    assert count(stranger, "standalone") == 0
    forgetful = stack.folder / "forgetful.toml"
    forgetful.write_text(stack.write_config().read_text().replace(TOKEN, "another-token"))
    port = free_port()
    arguments = ("--config", str(forgetful), "--host", LOOPBACK, "--port", str(port))
    stack.processes.python("forgetful gateway", "app", *arguments).wait_line("ready")
    with Relay(stack.port) as relay:
        agent = start_existing(stack, port=relay.port)
        relay.target = port
        relay.drop()
        wait_count(agent, "handshake status 503", 2, REDIAL_SECONDS + DELAY_SECONDS)
        relay.target = stack.port
        wait_count(agent, "yamux ready", 2, REDIAL_SECONDS + DELAY_SECONDS)
        async with http_client() as http:
            assert await status(http, stack) == 200
    assert count(agent, "given up") == 0


async def test_two_of_them_share_a_cluster(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    other = second_service(stack)
    start_existing(stack)
    with Relay(stack.port, watch=b'"type":"heartbeat_ack"') as relay:
        start_existing(stack, agent_id="go-2", port=relay.port, services={"plain": other})
        wait_until(lambda: relay.watched > 0, 30, "the second one is known by its name")
        async with http_client() as http:
            urls = [stack.url("plain", f"/sse?channel={number}") for number in range(20)]
            answers = [await http.get(url) for url in urls]
            assert Counter(answer.headers["X-Service"] for answer in answers) == {"plain": 10, "other": 10}
            for answer in answers:
                answer.close()


async def test_after_a_crash_with_an_idle_connection_it_serves_once_its_session_is_over(pooled: Crash) -> None:
    own, agent = pooled
    wait_count(agent, "yamux ready", 2, SESSION_SECONDS + DELAY_SECONDS)
    assert count(agent, STREAMS_LEFT) == 0, "it did not wait for its patience to end"
    async with http_client() as http:
        assert await status(http, own) == 200
    assert count(agent, "gateway connected") == 2


async def test_the_gateway_bears_the_long_silence_and_serves_after_it(silent: Crash) -> None:
    own, agent = silent
    agent.wait_line(STREAMS_LEFT, seconds=PATIENCE_SECONDS + DELAY_SECONDS)
    wait_count(agent, "yamux ready", 2, DELAY_SECONDS)
    assert positions(agent, STREAMS_LEFT)[0] < positions(agent, "yamux ready")[1], "silent until its patience ended"
    async with http_client() as http:
        assert await status(http, own) == 200
    assert count(agent, "gateway connected") == 2
    assert count(own.gateway, "is gone") == 0

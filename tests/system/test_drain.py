"""A gateway that is asked to stop: who may finish, who is told what and when, and what is left.

Asked by `POST /-/drain`, by `tunnel-gateway drain`, by SIGTERM or SIGINT. Every gateway here runs in Python's
development mode, so that a socket or a coroutine that is forgotten shows in its output.
"""

import asyncio
import errno
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import psutil
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.system.clients import Answer, RawClient, http_client, websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Stack
from tests.system.outcomes import status
from tests.system.process import Process, wait_until

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it stops at the first signal, in its own way")]

ADMIN = "admin-token-of-the-system-tests"
BEARER = f"Authorization: Bearer {ADMIN}"
WEBSOCKETS = 60
HOUR_SECONDS = 3600.0
"""A delay or a grace that no test waits for."""
VERSION = "Sec-WebSocket-Version: 13"
UNCLEAN = ("Traceback", "ResourceWarning", "was never", "Task was destroyed", "exception ignored", "Cancel ")

Make = Callable[..., Stack]


@pytest.fixture
def make(own_stack: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Stacks with an admin token."""
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")

    def start(*, agent: bool = True, **settings: str | bool | float) -> Stack:
        return own_stack(admin_token_file="admin-token", **settings).start(agent=agent)

    return start


def ask(port: int, line: str, *fields: str, host: str = "localhost") -> Answer:
    """One request to the gateway itself, on a connection of its own."""
    with RawClient((LOOPBACK, port)) as client:
        client.send("\r\n".join([line, f"Host: {host}", *fields, "", ""]).encode())
        return client.answer()


def ready(stack: Stack, query: str = "") -> tuple[int, bytes]:
    answer = ask(stack.port, f"GET /readyz{query} HTTP/1.1")
    return answer.status, answer.body


def refuses(stack: Stack) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, stack.port)) == errno.ECONNREFUSED


async def test_connections_in_the_backlog_are_answered_before_the_listener_closes(make: Make):
    stack = make(drain_delay=0.0)
    stack.gateway.signal(signal.SIGSTOP)
    with ExitStack() as open_clients:  # completed by the system, accepted by nobody
        clients = [open_clients.enter_context(RawClient(stack.address("plain"))) for _ in range(200)]
        for client in clients:
            client.request("GET /small HTTP/1.1", "plain", "Connection: close")
        stack.gateway.signal(signal.SIGTERM)
        stack.gateway.signal(signal.SIGCONT)
        assert [client.answer().status for client in clients] == [200] * len(clients)
    assert stack.gateway.wait_end() == 0


def drain(stack: Stack, *arguments: str, token: str = ADMIN, wait: str = "") -> Answer:
    return ask(stack.port, f"POST /-/drain{wait} HTTP/1.1", f"Authorization: Bearer {token}", *arguments)


def ends_cleanly(gateway: Process) -> None:
    """Wait for its end, with status 0 and nothing on its conscience; far sooner than a grace of an hour ends."""
    assert gateway.wait_end() == 0
    unclean = [line for line in gateway.output() if any(word in line for word in UNCLEAN)]
    assert unclean == []


def line_number(gateway: Process, *words: str) -> int:
    """Where in its output the only line with all these words stands."""
    found = [number for number, line in enumerate(gateway.output()) if all(word in line for word in words)]
    assert len(found) == 1, (words, found)
    return found[0]


class EventStream:
    """A request that runs for as long as the test wants it to."""

    def __init__(self, stack: Stack, channel: str) -> None:
        self._stack = stack
        self._channel = channel
        self.client = RawClient(stack.address("plain"))
        self.client.request(f"GET /sse?channel={channel} HTTP/1.1", "plain")
        self.head = self.client.answer_head()
        assert self.head.status == 200

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.socket.close()

    def push(self, data: str) -> None:
        url = self._stack.control("plain", f"/sse/push?channel={self._channel}&data={data}")
        with urlopen(url) as answer:
            assert answer.status == 202
        self.client.read_until(f"data: {data}\n\n".encode())

    def finish(self) -> None:
        with urlopen(self._stack.control("plain", f"/sse/push?channel={self._channel}")) as answer:
            assert answer.status == 202
        self.client.read_until(b"0\r\n\r\n")


# --- who may ask


def test_only_the_admin_token_drains(make: Make) -> None:
    stack = make()
    for refused in (
        ask(stack.port, "POST /-/drain HTTP/1.1"),
        drain(stack, token="not-the-admin-token"),
        drain(stack, token=""),
        ask(stack.port, "POST /-/drain HTTP/1.1", f"Authorization: Basic {ADMIN}"),
    ):
        assert (refused.status, refused.one("www-authenticate")) == (401, "Bearer")
    assert ask(stack.port, "GET /-/drain HTTP/1.1", BEARER).status == 405
    assert ask(stack.port, "POST /-/drain?wait=soon HTTP/1.1", BEARER).status == 400
    assert ready(stack) == (200, b"ready\n")
    answer = drain(stack)
    assert (answer.status, json.loads(answer.body)["drained"]) == (202, False)
    stack.gateway.wait_line("drained")


def test_without_an_admin_token_there_is_no_such_address(own_stack: Make) -> None:
    stack = own_stack().start(agent=False)
    answer = drain(stack)
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "no_route")
    assert ready(stack) == (200, b"ready\n")


# --- what happens meanwhile


def test_while_it_drains_it_is_not_ready_serves_on_and_closes_connections(make: Make) -> None:
    stack = make(drain_delay=HOUR_SECONDS)
    assert drain(stack).status == 202
    assert ready(stack) == (503, b"draining\n")
    assert ready(stack, "?cluster=c1") == (503, b"draining\n")
    assert ask(stack.port, "GET /healthz HTTP/1.1").status == 200
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        answer = client.answer()
        assert (answer.status, answer.body, answer.one("connection")) == (200, b"small 1", "close")
        assert client.read_end() == b""
    again = drain(stack)
    assert (again.status, json.loads(again.body)["drained"]) == (202, False)
    assert len([line for line in stack.gateway.output() if "draining: " in line]) == 1
    stack.gateway.signal(signal.SIGTERM)
    stack.gateway.wait_line("SIGTERM: stopping")
    stack.gateway.signal(signal.SIGTERM)
    ends_cleanly(stack.gateway)


def handshake(client: RawClient) -> Answer:
    """Try a WebSocket on a connection that is open already."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    client.request("GET /echo HTTP/1.1", "ws", "Connection: Upgrade", "Upgrade: websocket", key, VERSION)
    return client.answer_head()


def test_a_websocket_opens_during_the_delay(make: Make) -> None:
    stack = make(drain_delay=HOUR_SECONDS)
    assert drain(stack).status == 202
    with RawClient(stack.address("ws")) as client:
        assert handshake(client).status == 101
        for number in (signal.SIGTERM, signal.SIGTERM):
            stack.gateway.signal(number)
            stack.gateway.wait_line("SIGTERM: stopping")
        stack.gateway.wait_end()


def test_after_the_delay_requests_are_served_and_websockets_refused(make: Make) -> None:
    """On connections that were open already: new ones are refused by then."""
    stack = make(shutdown_grace=HOUR_SECONDS)
    with (
        EventStream(stack, "holds") as stream,
        RawClient(stack.address("plain")) as http,
        RawClient(stack.address("ws")) as other,
    ):
        for client in (http, other):
            client.request("GET /small?n=1 HTTP/1.1", "plain")
            assert client.answer().status == 200
        stack.gateway.signal(signal.SIGTERM)
        stack.gateway.wait_line("draining:")
        wait_until(lambda: refuses(stack), 30, "new connections are refused")
        http.request("GET /small?n=2 HTTP/1.1", "plain")
        answer = http.answer()
        assert (answer.status, answer.body, answer.one("connection")) == (200, b"small 2", "close")
        refused = handshake(other)
        assert (refused.status, refused.one("retry-after")) == (503, "2")
        stream.finish()
        ends_cleanly(stack.gateway)


def test_the_command_waits_and_then_a_sigterm_ends_it_at_once(make: Make, tmp_path: Path) -> None:
    stack = make(shutdown_grace=HOUR_SECONDS)
    arguments = ["--url", f"http://{LOOPBACK}:{stack.port}", "--wait", "20"]
    arguments += ["--admin-token-file", str(tmp_path / "admin-token")]
    with EventStream(stack, "runs") as stream:
        command = stack.processes.python("drain", "app", "drain", *arguments)
        stack.gateway.wait_line("draining: 1 exchanges")
        stream.push("still-here")
        assert command.popen.poll() is None
        stream.finish()
        assert command.wait_end() == 0
    assert command.output() == ["drained"]
    assert line_number(stack.gateway, "/sse", " 200 ") < line_number(stack.gateway, "is gone: gateway is stopping")
    assert refuses(stack)
    assert stack.gateway.popen.poll() is None
    stack.gateway.signal(signal.SIGTERM)
    ends_cleanly(stack.gateway)


def test_no_descriptor_is_left_when_it_is_drained(make: Make) -> None:
    stack = make(agent=False)
    gateway = psutil.Process(stack.gateway.popen.pid)
    before = gateway.num_fds()
    stack.start_agent()
    with EventStream(stack, "fds") as stream:
        assert gateway.num_fds() >= before + 2
        stream.finish()
    assert json.loads(drain(stack, wait="?wait=20").body)["drained"]
    wait_until(lambda: gateway.num_fds() < before, 30, f"fewer than {before} descriptors: the listener's is gone too")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_finishes_and_then_the_process_ends(make: Make, number: signal.Signals) -> None:
    stack = make(shutdown_grace=HOUR_SECONDS)
    with EventStream(stack, "finishes") as stream:
        stack.gateway.signal(number)
        stack.gateway.wait_line(f"{number.name}: stopping")
        wait_until(lambda: refuses(stack), 30, "new connections are refused")
        stream.push("one-more")
        stream.finish()
    ends_cleanly(stack.gateway)
    assert line_number(stack.gateway, "/sse", " 200 ") < line_number(stack.gateway, "is gone: gateway is stopping")


def test_an_endless_download_is_broken_off_at_the_end_of_the_grace(make: Make) -> None:
    stack = make(shutdown_grace=1.0)
    with RawClient(stack.address("plain")) as client:
        client.request(f"GET /download?size={10**13}&how=chunked HTTP/1.1", "plain")
        assert client.answer_head().status == 200
        stack.gateway.signal(signal.SIGTERM)
        assert not read_away(client).endswith(b"0\r\n\r\n")
    ends_cleanly(stack.gateway)


def read_away(client: RawClient) -> bytes:
    """Read to the end; the last bytes that came."""
    last = b""
    try:
        while data := client.socket.recv(1024 * 1024):
            last = (last + data)[-16:]
    except ConnectionResetError:
        pass
    return last


def test_a_client_that_never_reads_does_not_hold_the_process(make: Make) -> None:
    stack = make(shutdown_grace=1.0)
    with RawClient(stack.address("plain"), receive_buffer_bytes=4096) as client:
        client.request(f"GET /download?size={10**13}&id=stuck HTTP/1.1", "plain")
        assert client.answer_head().status == 200
        stack.gateway.signal(signal.SIGTERM)
        assert stack.gateway.wait_end() == 0


async def open_all(stack: Stack, count: int, closing: AsyncExitStack) -> list[ClientConnection]:
    """So many WebSockets that answer."""
    clients = [await closing.enter_async_context(websocket(stack.url("ws", "/echo", "ws"))) for _ in range(count)]
    for client in clients:
        await client.send("alive")
        assert await client.recv() == "alive"
    return clients


async def closed(client: ClientConnection) -> None:
    with pytest.raises(ConnectionClosed):
        await client.recv()


async def test_websockets_are_told_1012_and_the_link_last(make: Make) -> None:
    """How they are spread over the grace is in tests/app/node/test_stopping.py."""
    stack = make(shutdown_grace=HOUR_SECONDS)
    async with AsyncExitStack() as closing:
        clients = await open_all(stack, WEBSOCKETS, closing)
        waiting = [asyncio.ensure_future(closed(client)) for client in clients]
        stack.gateway.signal(signal.SIGTERM)
        await asyncio.gather(*waiting)
        told = {(client.close_code, client.close_reason) for client in clients}
    assert told == {(1012, "gateway is restarting")}
    await asyncio.to_thread(ends_cleanly, stack.gateway)
    lines = stack.gateway.output()
    ended = [number for number, line in enumerate(lines) if "closed by the gateway with 1012" in line]
    assert len(ended) == WEBSOCKETS
    assert ended[-1] < line_number(stack.gateway, "is gone: gateway is stopping")


async def test_the_service_is_told_that_its_client_leaves(make: Make) -> None:
    stack = make()
    async with websocket(stack.url("ws", "/echo?id=left", "ws")) as client:
        await client.send("alive")
        assert await client.recv() == "alive"
        stack.gateway.signal(signal.SIGTERM)
        await closed(client)
    async with http_client() as http, http.get(stack.control("ws", "/closed?id=left")) as answer:
        assert "1001" in await answer.text()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(make: Make, second: signal.Signals) -> None:
    stack = make(shutdown_grace=HOUR_SECONDS)
    with EventStream(stack, "endless") as stream:
        stack.gateway.signal(signal.SIGTERM)
        stack.gateway.wait_line("draining: 1 exchanges")
        stream.push("waited-for")
        stack.gateway.signal(second)
        ends_cleanly(stack.gateway)
        assert not stream.client.read_end().endswith(b"0\r\n\r\n")
    assert [line for line in stack.gateway.output() if "second signal: stopping at once" in line]


@pytest.fixture
def idle_clients(make: Make) -> Iterator[tuple[Stack, list[RawClient]]]:
    """A gateway with kept-alive connections on which nothing happens."""
    stack = make(shutdown_grace=HOUR_SECONDS)
    clients = [RawClient(stack.address("plain")) for _ in range(20)]
    for client in clients:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().status == 200
    yield stack, clients
    for client in clients:
        client.socket.close()


def test_kept_alive_connections_do_not_delay_the_end(idle_clients: tuple[Stack, list[RawClient]]) -> None:
    stack, clients = idle_clients
    stack.gateway.signal(signal.SIGTERM)
    ends_cleanly(stack.gateway)
    assert [client.read_end() for client in clients] == [b""] * len(clients)


# --- readiness


async def test_readiness_of_a_cluster_follows_its_agent(make: Make) -> None:
    stack = make(agent=False)
    assert ready(stack) == (200, b"ready\n")
    assert ready(stack, "?cluster=c1") == (503, b"no agent of this cluster\n")
    agent = stack.start_agent()
    assert ready(stack, "?cluster=c1") == (200, b"ready\n")
    assert ready(stack, "?cluster=c2") == ready(stack, "?cluster=") == (503, b"no agent of this cluster\n")
    async with http_client() as http:
        assert await status(http, stack) == 200
    agent.kill()
    wait_until(lambda: ready(stack, "?cluster=c1")[0] == 503, 30, "its agent is gone")
    assert ready(stack) == (200, b"ready\n")

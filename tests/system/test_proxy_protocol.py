"""Behind TCP balancers that send PROXY headers: who the client is, and what becomes of anybody else."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.app.server.proxy_headers import LOCAL, block, checked, line
from tests.system.balancers import Balancer, bracketed, start_haproxy, start_nginx
from tests.system.clients import RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, TOKEN, Stack, free_port
from tests.system.process import Process, wait_until

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it takes no PROXY header")]

FRONT, CLIENT = "127.0.0.2", "127.0.0.5"
"""Where the balancer listens, and from where a client comes. The balancer itself comes from 127.0.0.1 or ::1."""
REQUEST = f"GET /small?n=1 HTTP/1.1\r\nHost: plain.{DOMAIN}\r\nConnection: close\r\n\r\n".encode()


class World:
    """A gateway that takes PROXY headers, of the balancer on this machine alone."""

    def __init__(self, stack: Stack, host: str = LOOPBACK) -> None:
        self.stack = stack
        self.host = host
        self.admin_port = free_port()
        stack.settings |= {
            "proxy_protocol": True, "log_format": "json", "admin_bind": f"{LOOPBACK}:{self.admin_port}",
        }  # fmt: skip
        config = stack.write_config()
        config.write_text('trusted_proxies = ["127.0.0.1", "::1"]\n' + config.read_text())
        arguments = ("--config", str(config), "--host", host, "--port", str(stack.port))
        self.gateway = stack.processes.python("gateway", "app", *arguments)
        self.gateway.wait_line("ready: ")

    @property
    def address(self) -> str:
        return f"{bracketed(self.host)}:{self.stack.port}"

    def start_agent(self, balancer: Balancer, authority: Path | None = None) -> Process:
        """It dials the balancer, by its address. `authority`: by TLS, with a certificate of this one."""
        options = [item.option for item in self.stack.services.values()]
        options += ["--ca-file", str(authority)] if authority is not None else []
        scheme = "wss" if authority is not None else "ws"
        agent = self.stack.processes.python(
            "agent", "tunnel.agent", "--gateway", f"{scheme}://{bracketed(balancer.host)}:{balancer.port}/agent",
            "--token", TOKEN, "--cluster", "c1", *options,
        )  # fmt: skip
        self.gateway.wait_line("serves cluster c1")
        return agent

    def lines(self, logger: str) -> list[dict[str, Any]]:
        found = [json.loads(text) for text in self.gateway.output() if text.startswith("{")]
        return [entry for entry in found if entry["logger"] == logger]

    def access(self) -> list[dict[str, Any]]:
        """The access log."""
        return self.lines("gateway.access")

    def wait_access(self, count: int) -> None:
        """Until the access log has so many lines."""
        wait_until(lambda: len(self.access()) >= count, 10, f"{count} lines of the access log")

    def refused(self) -> dict[str, float]:
        """By reason, those that are not 0."""
        with urlopen(f"http://{LOOPBACK}:{self.admin_port}/metrics") as answer:
            text = answer.read().decode()
        name = "gateway_proxy_headers_refused_total"
        rows = [row.removeprefix(name).split() for row in text.splitlines() if row.startswith(name)]
        return {labels.split('"')[1]: float(value) for labels, value in rows if float(value)}


Start = Callable[[World, Path, str], Balancer]


def haproxy_v1(world: World, folder: Path, front: str) -> Balancer:
    return start_haproxy(world.stack.processes, folder, front, world.address, "send-proxy")


def haproxy_v2(world: World, folder: Path, front: str) -> Balancer:
    return start_haproxy(world.stack.processes, folder, front, world.address, "send-proxy-v2")


def haproxy_checksum(world: World, folder: Path, front: str) -> Balancer:
    return start_haproxy(
        world.stack.processes, folder, front, world.address, "send-proxy-v2 proxy-v2-options crc32c,unique-id",
        backend="unique-id-format %{+X}o\\ %ci:%cp",
    )  # fmt: skip


def nginx(world: World, folder: Path, front: str) -> Balancer:
    return start_nginx(world.stack.processes, folder, front, world.address)


@pytest.mark.parametrize(
    ("front", "client", "host"),
    [(FRONT, CLIENT, LOOPBACK), ("::1", "::1", LOOPBACK), (FRONT, CLIENT, "::1")],
    ids=["IPv4", "IPv6 client", "IPv6 gateway"],
)
@pytest.mark.parametrize("start", [haproxy_v1, haproxy_v2, haproxy_checksum, nginx])
async def test_http_websockets_and_agents_pass_and_the_log_shows_the_client(
    own_stack: Callable[..., Stack], tmp_path: Path, start: Start, front: str, client: str, host: str
) -> None:
    world = World(own_stack(), host)
    balancer = start(world, tmp_path, front)
    await asyncio.to_thread(world.start_agent, balancer)
    url = f"http://{bracketed(front)}:{balancer.port}"
    connector = aiohttp.TCPConnector(local_addr=(client, 0))
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.get(f"{url}/echo", headers={"Host": f"plain.{DOMAIN}"}) as answer:
            assert answer.status == 200
            said = {name.lower(): value for name, value in (await answer.json(content_type=None))["headers"]}
        assert said["x-forwarded-for"] == client
        async with http.get(f"{url}/small?n=1", headers={"Host": f"plain.{DOMAIN}"}) as answer:
            assert await answer.text() == "small 1"
    async with connect(
        f"ws://ws.{DOMAIN}:{balancer.port}/echo", host=front, port=balancer.port, local_addr=(client, 0), proxy=None
    ) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
    await asyncio.to_thread(world.wait_access, 4)  # a WebSocket has two
    told = sorted((entry["kind"], entry["event"], entry["path"], entry["client"]) for entry in world.access())
    assert told == [
        ("http", "ended", "/echo", client), ("http", "ended", "/small", client),
        ("websocket", "ended", "/echo", client), ("websocket", "opened", "/echo", client),
    ]  # fmt: skip
    assert await asyncio.to_thread(world.refused) == {}


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("backend", ["", "option httpchk GET /readyz"])
def test_haproxys_own_checks_pass_and_are_no_fault(
    own_stack: Callable[..., Stack], tmp_path: Path, words: str, backend: str
) -> None:
    world = World(own_stack())
    checked = f"{words} check inter 50ms fall 1 rise 2" + (" check-send-proxy" if backend else "")
    balancer = start_haproxy(world.stack.processes, tmp_path, FRONT, world.address, checked, backend=backend)
    world.start_agent(balancer)
    with RawClient((FRONT, balancer.port)) as client:
        client.send(REQUEST)
        assert client.answer().status == 200
    assert not [text for text in balancer.process.output() if "DOWN" in text]
    assert world.refused() == {}
    assert [entry for entry in world.lines("gateway") if entry["level"] != "info"] == []


@pytest.mark.parametrize(
    "data",
    [
        REQUEST,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PROXY TCP4 203.0.113.09 192.0.2.1 1 2\r\n" + REQUEST,
        checked(("203.0.113.9", 1), ("192.0.2.1", 2))[:-4] + bytes(4),
        b"PROXY TCP4" + b" " * 200,
    ],
    ids=["no header", "TLS", "line", "block", "too long"],
)
def test_without_a_right_header_a_connection_is_closed_and_the_log_has_one_line(
    own_stack: Callable[..., Stack], data: bytes
) -> None:
    world = World(own_stack())
    for _ in range(20):
        with RawClient((LOOPBACK, world.stack.port)) as client:
            client.send(data)
            assert client.read_end() == b""
    assert world.refused() == {"invalid": 20}
    world.gateway.wait_line("connections closed")
    warnings = [entry for entry in world.lines("gateway") if entry["level"] != "info"]
    assert [entry["level"] for entry in warnings] == ["warning"]
    assert warnings[0]["message"].startswith(
        "connections closed because of their PROXY header: 1, the last from 127.0.0.1"
    )
    assert not [text for text in world.gateway.output() if "Traceback" in text]
    with RawClient((LOOPBACK, world.stack.port)) as client:
        client.send(line(("203.0.113.9", 1), ("192.0.2.1", 2)) + b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answer().status == 200


def test_a_header_from_anybody_else_is_not_believed(own_stack: Callable[..., Stack]) -> None:
    world = World(own_stack(), "0.0.0.0")
    with RawClient((FRONT, world.stack.port), source=CLIENT) as client:
        assert client.read_end() == b""
    assert world.refused() == {"untrusted": 1}
    assert [entry for entry in world.lines("gateway") if entry["level"] != "info"] == []


def test_checks_that_send_no_header_ask_the_admin_listener(own_stack: Callable[..., Stack]) -> None:
    world = World(own_stack())
    for path, text in (("healthz", b"ok\n"), ("readyz", b"ready\n")):
        with urlopen(f"http://{LOOPBACK}:{world.admin_port}/{path}") as answer:
            assert answer.read() == text
    with pytest.raises(HTTPError, match="503"):
        urlopen(f"http://{LOOPBACK}:{world.admin_port}/readyz?cluster=c1")


def test_the_balancer_may_speak_for_itself(own_stack: Callable[..., Stack]) -> None:
    world = World(own_stack())
    for header in (block(LOCAL, 0), b"PROXY UNKNOWN\r\n"):
        with RawClient((LOOPBACK, world.stack.port)) as client:
            client.send(header + b"GET /unrouted HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert client.answer().status == 404
    world.wait_access(2)
    assert [entry["client"] for entry in world.access()] == [LOOPBACK, LOOPBACK]


def test_it_stops_in_order_with_headers_under_way(own_stack: Callable[..., Stack]) -> None:
    world = World(own_stack())
    header = line(("203.0.113.9", 1), ("192.0.2.1", 2))
    with RawClient((LOOPBACK, world.stack.port)) as silent, RawClient((LOOPBACK, world.stack.port)) as late:
        late.send(header[:20])
        world.gateway.signal(signal.SIGTERM)
        world.gateway.wait_line("SIGTERM: stopping")
        late.send(header[20:] + b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert late.answer().status == 200
        assert silent.read_end() == b""
    assert world.gateway.wait_end() == 0
    assert not [text for text in world.gateway.output() if "Traceback" in text]

"""The gateway is restarted under load: two nodes one after the other behind HAProxy, and the only node of all.

Behind HAProxy no request may fail, however long the node was away, though the clients never try one again: a node that
comes back gets requests when it has its agents. Alone, a node that is away refuses connections, and its clients try
those again; nothing else.
"""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.system.clients import websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, TOKEN, Stack, free_port
from tests.system.process import Process, wait_until
from tests.system.test_existing_agent import start_existing

pytestmark = [pytest.mark.anyio, tunnel_only]

PER_SECOND = 200
KEPT_ALIVE = 20
AT_ONCE = 500
"""Requests under way, half as many as may wait for an agent: a slow machine makes the load slower."""
WEBSOCKETS = 50
DRAIN_SECONDS = 2.0
"""HAProxy asks every 200 ms and believes the second answer: 0.6 s, and as much again to spare."""
AWAY_SECONDS = 1.0
READY_WAIT_SECONDS = 15.0
"""As the documentation advises for several nodes."""
BODY = b"small 1"
GET = f"GET /small?n=1 HTTP/1.1\r\nHost: plain.{DOMAIN}\r\n"
POST = f"POST /mirror HTTP/1.1\r\nHost: plain.{DOMAIN}\r\nContent-Length: {len(BODY)}\r\n"
EACH_POST = 4
"""One request in so many may not be sent twice by anybody on its way."""

HAPROXY = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout check 1s
frontend public
    bind {address}:{port}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host readiness.invalid
    option redispatch
    http-response set-header X-Node %s
    default-server check inter 200ms fall 2 rise 1
"""


class NoAnswerError(Exception):
    """The connection ended before a byte of an answer."""


class Connection:
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, *, post: bool = False, last: bool = False) -> tuple[int, bytes]:
        """Status and body. Raises OSError, NoAnswerError, EOFError for one that breaks off."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(LOOPBACK, self._port)
        reader, writer = self._streams
        try:
            head = (POST if post else GET) + ("Connection: close\r\n\r\n" if last else "\r\n")
            writer.write(head.encode() + (BODY if post else b""))
            try:
                answer = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
                raise NoAnswerError from None
            except ConnectionResetError:
                raise NoAnswerError from None
            lines = answer.decode("latin-1").lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
        except BaseException:
            await self.close()
            raise
        if last or fields.get("connection") == "close":
            await self.close()
        return int(lines[0].split()[1]), body

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    async def close(self) -> None:
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class Load:
    """PER_SECOND requests, whatever becomes of them: half on connections that are kept, half on new ones."""

    def __init__(self, port: int, *, again: bool = False) -> None:
        """`again`: what was refused a connection, or lost a kept one unanswered, is tried again."""
        self._port = port
        self._again = again
        self._kept = [Connection(port) for _ in range(KEPT_ALIVE)]
        self._free = list(self._kept)
        self._finish = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self.begun = 0
        self.running: set[int] = set()
        """The numbers of the requests without an outcome; the first has 0."""
        self.outcomes: Counter[str] = Counter()
        self.refused = 0

    def finish(self) -> None:
        """Begin no more than the least number."""
        self._finish.set()

    async def run(self, least: int) -> None:
        """Begin requests until told to finish, `least` of them in any case, and wait for the last one."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        tasks: set[asyncio.Task[None]] = set()
        while self.begun < least or not self._finish.is_set():
            await asyncio.sleep(started + self.begun / PER_SECOND - loop.time())  # the pace of the load
            await self._room.acquire()
            kept = self._free.pop() if self.begun % 2 and self._free else None
            task = loop.create_task(self._one(self.begun, kept))
            self.begun += 1
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        for connection in self._kept:
            await connection.close()

    async def _one(self, number: int, kept: Connection | None) -> None:
        self.running.add(number)
        self.outcomes[await self._outcome(kept, post=number % (2 * EACH_POST) in (0, 1))] += 1
        self.running.discard(number)
        self._room.release()
        if kept is not None:
            self._free.append(kept)

    async def _outcome(self, kept: Connection | None, *, post: bool) -> str:
        while True:
            stale = kept is not None and kept.is_open
            try:
                status, body = await (kept or Connection(self._port)).ask(post=post, last=kept is None)
            except ConnectionRefusedError:
                if not self._again:
                    return "refused"
                self.refused += 1
                await asyncio.sleep(0.05)
            except NoAnswerError:
                # A server may end an idle connection at any time (RFC 9112 section 9.3.1): every client tries again.
                if not (self._again and stale):
                    return "no answer"
            except (OSError, EOFError) as error:
                return f"broken: {type(error).__name__}"
            else:
                return "ok" if (status, body) == (200, BODY) else f"{status} {body[:200]!r}"


class Cluster:
    """Two nodes behind HAProxy, and one agent with a link to each."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        stack.settings.update({"drain_delay": DRAIN_SECONDS, "ready_wait": READY_WAIT_SECONDS})
        config = stack.write_config()
        config.write_text(config.read_text().replace('clusters = ["c1", "c2"]', 'clusters = ["c1"]'))  # its agent's
        self._config = str(config)
        self.ports = {"a": free_port(), "b": free_port()}
        self.nodes = {name: self.start_node(name) for name in self.ports}
        self.port = free_port()
        servers = "".join(f"    server {name} {LOOPBACK}:{port}\n" for name, port in self.ports.items())
        file = folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(address=LOOPBACK, port=self.port) + servers)
        options = [item.option for item in stack.services.values()]
        for port in self.ports.values():
            options += ["--gateway", f"ws://{LOOPBACK}:{port}/agent"]
        self.agent = stack.processes.python("agent", "tunnel.agent", "--token", TOKEN, "--cluster", "c1", *options)
        for name in self.ports:
            self.wait_linked(name)
        self.haproxy = stack.processes.start("haproxy", ["haproxy", "-db", "-f", str(file)])
        self.haproxy.wait_port(self.port)

    def start_node(self, name: str) -> Process:
        arguments = ("--config", self._config, "--host", LOOPBACK, "--port", str(self.ports[name]))
        node = self._stack.processes.python(f"gateway {name}", "app", *arguments)
        node.wait_line("ready:")
        return node

    def wait_linked(self, name: str) -> None:
        self.nodes[name].wait_line("serves cluster c1")

    def stop(self, name: str) -> None:
        """The node goes, in order."""
        self.nodes[name].signal(signal.SIGTERM)
        assert self.nodes[name].wait_end(30) == 0

    def bring_back(self, name: str) -> None:
        """It comes back on its port; done when its agent is back too."""
        self.nodes[name] = self.start_node(name)
        self.wait_linked(name)

    def requests(self, name: str) -> int:
        """How many requests this node's process has carried so far, as long as its log goes back."""
        return sum("/small 200 in" in line for line in self.nodes[name].output())


@pytest.fixture
def cluster(own_stack: Callable[..., Stack], tmp_path: Path) -> Cluster:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed: no such program on PATH")
    return Cluster(own_stack(), tmp_path)


class Listener:
    """A WebSocket through HAProxy: which node carries it, and what it was told."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        assert client.response is not None
        self.node = client.response.headers["X-Node"]
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> int | None:
        with suppress(ConnectionClosed):
            async for message in self.client:
                raise AssertionError(message)
        return self.client.close_code


async def roll(cluster: Cluster, nodes: list[str], least: int, away_seconds: float = 0.0) -> None:
    """Restart these nodes one after the other, under load and with WebSockets open; each is away for so long."""
    url = f"ws://ws.{DOMAIN}:{cluster.port}/echo"
    async with AsyncExitStack() as closing:
        listeners = [Listener(await closing.enter_async_context(websocket(url))) for _ in range(WEBSOCKETS)]
        assert Counter(listener.node for listener in listeners) == {"a": WEBSOCKETS / 2, "b": WEBSOCKETS / 2}
        load = Load(cluster.port)
        running = asyncio.ensure_future(load.run(least))
        for name in nodes:
            await asyncio.to_thread(cluster.stop, name)
            await asyncio.sleep(away_seconds)  # the fault under test, not a wait for something
            begun = load.begun
            await asyncio.to_thread(cluster.bring_back, name)
            assert not [number for number in load.running if number < begun], "none waited for the node to come back"
            told = [await listener.reading for listener in listeners if listener.node == name]
            assert told == [1012] * (WEBSOCKETS // 2)
            # Wait until HAProxy gives it requests again: the next node goes only then.
            await asyncio.to_thread(wait_until, lambda name=name: cluster.requests(name) > 0, 10, f"{name} serves")
        load.finish()
        await running
        assert load.outcomes == {"ok": load.begun}
        for listener in listeners:
            if listener.node not in nodes:
                assert not listener.reading.done()
                listener.reading.cancel()
                with suppress(asyncio.CancelledError):
                    await listener.reading
                await listener.client.send("alive")
                assert await listener.client.recv() == "alive"


async def test_one_of_two_nodes_is_restarted_and_no_request_fails(cluster: Cluster) -> None:
    await roll(cluster, ["a"], 2_400)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("away_seconds", [1.0, 5.0, 15.0, 60.0])
async def test_both_nodes_are_restarted_and_none_of_20000_requests_fails(cluster: Cluster, away_seconds: float) -> None:
    await roll(cluster, ["a", "b"], 20_000, away_seconds)


# --- the only node


def start_ours(stack: Stack) -> Process:
    return stack.start_agent()


def restarted(stack: Stack) -> None:
    """The only node goes and comes."""
    stack.gateway.signal(signal.SIGTERM)
    assert stack.gateway.wait_end() == 0
    # So long it is away, at least: this is the fault under test, not a wait for something.
    asyncio.run(asyncio.sleep(AWAY_SECONDS))
    stack.start_gateway()


@app_only("it stops at the first signal")
@pytest.mark.parametrize("start", [start_ours, start_existing], ids=["our agent", "existing agent"])
async def test_the_only_node_is_restarted_and_requests_wait_for_its_agent(
    own_stack: Callable[..., Stack], start: Callable[[Stack], Process]
) -> None:
    stack = own_stack(reconnect_grace=60).start(agent=False)
    start(stack)
    load = Load(stack.port, again=True)
    running = asyncio.ensure_future(load.run(1_200))
    await asyncio.to_thread(stack.gateway.wait_line, "/small 200 in")
    await asyncio.to_thread(restarted, stack)
    await asyncio.to_thread(stack.gateway.wait_line, "/small 200 in")
    load.finish()
    await running
    assert load.refused > 0
    assert load.outcomes == {"ok": load.begun}

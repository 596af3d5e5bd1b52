"""Peer links over real sockets: the owner is a process of its own (`peer_node.py`), the asking node is this one."""

import asyncio
import functools
import inspect
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from app.cluster.peer import tls
from app.cluster.peer.dialler import Dialler, Identity, LinkState, PeerState
from tests.fakes.certificates import Authority
from tests.fakes.sink import FakeSink
from tests.system.harness import free_port
from tests.system.process import Process, Processes
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.port import Exchange, RequestHead, Target

TARGET = Target("c1", "apps", "web", 80)
SECONDS = 20.0
Change = tuple[str, LinkState, str]


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine as a test; no task may be left."""

    @functools.wraps(test)
    def run(loop: str = "uvloop", **kwargs: Any) -> None:
        async def watched() -> None:
            async with asyncio.timeout(60):
                await test(**kwargs)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
            runner.run(watched())

    return run


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The same, on uvloop and on asyncio's own loop."""
    run = on_uvloop(test)
    own = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = own.replace(parameters=[loop, *own.parameters.values()])  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop", ["uvloop", "asyncio"])(run)


class Asker:
    """This node: a dialler, and what it was told."""

    def __init__(self, secret: bytes | None, context: ssl.SSLContext | None) -> None:
        self.secret = secret
        self.changes: list[Change] = []
        self.changed = asyncio.Event()
        self.account = Account()
        identity = Identity("n1", "test", lambda: self.secret, lambda: context)
        self.dialler = Dialler(identity, account=self.account, on_change=self._change)

    def _change(self, node: str, state: PeerState) -> None:
        self.changes.append((node, state.state, state.why))
        self.changed.set()

    async def until(self, state: LinkState, node: str = "n2", why: str = "") -> str:
        """Wait for the state, for a reason that contains `why`; the reason."""
        async with asyncio.timeout(SECONDS):
            while (known := self.dialler.states()[node]).state is not state or why not in known.why:
                self.changed.clear()
                await self.changed.wait()
        return known.why

    def ask(
        self, path: str = "/", method: bytes = b"GET", *, length: int = 0, upgrade: bool = False, to: Target = TARGET,
        fresh: bool = False,
    ) -> tuple[Exchange, "Told"]:  # fmt: skip
        asking = self.dialler.asking("n2")
        assert asking is not None
        told = Told()
        fields = [(b"Host", b"a.test")]
        if length:
            fields.append((b"Content-Length", b"%d" % length))
        head = RequestHead(method, path.encode(), fields, length, upgrade)
        return asking.upstream(to, agent_id="a1", dialect="yamux").open(head, told, fresh), told

    async def get(self, path: str = "/", to: Target = TARGET) -> bytes:
        _, told = self.ask(path, to=to)
        await told.over()
        if told.error is not None:
            raise told.error
        return told.body


class Told(FakeSink):
    """A sink that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()
        self.on_call = lambda _: self._news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not done():
                self._news.clear()
                await self._news.wait()

    async def over(self) -> None:
        await self.until(lambda: self.outcome != "open")


@asynccontextmanager
async def asker(secret: bytes | None = b"s1", context: ssl.SSLContext | None = None) -> AsyncIterator[Asker]:
    found = Asker(secret, context)
    try:
        yield found
    finally:
        await found.dialler.close()
        assert found.account.held_bytes == 0


def start(processes: Processes, *arguments: str, port: int = 0) -> tuple[Process, str]:
    """The owner, and its address."""
    program = [sys.executable, "-m", "tests.system.peer_node", "--port", str(port), *arguments]
    process = processes.start("owner", program)
    found = process.wait_line("listening on ").rpartition(" ")[2]
    scheme = "https" if "--certificate" in arguments else "http"
    return process, f"{scheme}://127.0.0.1:{found}"


@on_both_loops
async def test_a_link_and_its_exchanges(processes: Processes):
    process, url = start(processes, "--secret", "s0", "--secret", "s1")
    async with asker() as node:
        node.dialler.heard("n2", url)
        node.dialler.heard("n1", "http://127.0.0.1:1")  # ourselves
        await node.until(LinkState.UP)
        assert await node.get() == b"hello from c1"
        assert len(await node.get("/bytes/1000000")) == 1_000_000
        exchange, told = node.ask("/upload", b"POST", length=300_000)
        exchange.send_data(bytes(300_000))
        await told.over()
        assert told.body == b"300000"
        with pytest.raises(TunnelError, match="did not take it"):
            await node.get(to=Target("c2", "apps", "web", 80))
        exchange, told = node.ask("/echo", upgrade=True)
        await told.until(lambda: told.statuses == [101])
        exchange.send_data(b"over and back")
        await told.until(lambda: told.body == b"over and back")
        exchange.end()
        await told.over()
        assert list(node.dialler.states()) == ["n2"]
        node.dialler.forget("n2")
        assert node.dialler.states() == {}
    assert process.stop() == 0


@on_uvloop
async def test_who_is_not_let_in_is_told_why(processes: Processes):
    _, url = start(processes, "--secret", "s1")
    async with asker(b"wrong") as node:
        node.dialler.heard("n2", url)
        assert "refused with 401" in await node.until(LinkState.REFUSED)
        node.secret = b"s1"  # the file was mended
        await node.until(LinkState.UP)
        node.dialler.heard("n3", url)
        assert "another node is here by now: n2" in await node.until(LinkState.REFUSED, "n3")


@on_uvloop
async def test_a_node_that_dials_itself_notices(processes: Processes):
    _, url = start(processes, "--secret", "s1", "--node", "n1")
    async with asker() as node:
        node.dialler.heard("n2", url)
        assert "n1, which has dialled itself" in await node.until(LinkState.REFUSED)


@on_uvloop
async def test_an_address_that_answers_otherwise_or_changes(processes: Processes):
    _, url = start(processes, "--secret", "s1")
    async with asker() as node:
        for wrong, why in (
            (f"http://127.0.0.1:{free_port()}", "ConnectionRefusedError"),
            ("ftp://127.0.0.1:1", "no http"),
            ("http://127.0.0.1:99999", "Port out of range"),
            ("https" + url.removeprefix("http"), "SSL"),
        ):
            node.dialler.heard("n2", wrong)
            await node.until(LinkState.LOST, why=why)
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        asking = node.dialler.asking("n2")
        node.dialler.heard("n2", f"http://127.0.0.1:{free_port()}")
        assert await node.get() == b"hello from c1"
        assert node.dialler.asking("n2") is asking


@pytest.fixture(name="authority")
def _authority(tmp_path: Any) -> Authority:
    found = Authority(tmp_path)
    found.write(found.issue())
    return found


@on_both_loops
async def test_mutual_tls(processes: Processes, authority: Authority):
    files = ("--certificate", str(authority.certificate), "--key", str(authority.key), "--ca", str(authority.file))
    _, url = start(processes, *files)
    own = tls.client_context(ca_file=authority.file, certificate=authority.certificate, key=authority.key)
    async with asker(None, own) as node:
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        assert await node.get() == b"hello from c1"
        assert len(await node.get("/bytes/3000000")) == 3_000_000
    async with asker(None, tls.client_context(ca_file=authority.file)) as node:
        node.dialler.heard("n2", url)
        assert "refused with 401" in await node.until(LinkState.REFUSED)
    async with asker(None, tls.client_context()) as node:
        node.dialler.heard("n2", url)
        assert "CERTIFICATE_VERIFY_FAILED" in await node.until(LinkState.LOST)


@on_uvloop
async def test_a_killed_node_is_lost_at_once_and_linked_again_when_it_is_back(processes: Processes):
    port = free_port()
    process, url = start(processes, "--secret", "s1", port=port)
    async with asker() as node:
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        _, told = node.ask("/never")
        assert await node.get() == b"hello from c1"
        process.kill()
        await told.over()
        assert told.outcome == "LinkLostError"
        assert node.dialler.asking("n2") is None
        await node.until(LinkState.LOST)
        start(processes, "--secret", "s1", port=port)
        await node.until(LinkState.UP)
        assert await node.get() == b"hello from c1"


@pytest.mark.slow
@on_uvloop
async def test_a_frozen_node_is_given_up_and_linked_again_when_it_wakes(processes: Processes):
    process, url = start(processes, "--secret", "s1")
    async with asker() as node:
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        _, told = node.ask("/never")
        assert await node.get() == b"hello from c1"
        process.signal(signal.SIGSTOP)
        try:
            assert "nothing was heard" in await node.until(LinkState.LOST)
            await told.over()
            assert told.outcome == "LinkLostError"
        finally:
            process.signal(signal.SIGCONT)
        await node.until(LinkState.UP)
        assert await node.get() == b"hello from c1"


@on_uvloop
async def test_small_requests_pass_beside_bulk(processes: Processes):
    _, url = start(processes, "--secret", "s1")
    size = 60_000_000
    async with asker() as node:
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        _, bulk = node.ask(f"/bytes/{size}")
        await bulk.until(lambda: bool(bulk.pieces))
        small = 0
        while bulk.outcome == "open" and small < 200:
            assert await node.get() == b"hello from c1"
            small += 1
        await bulk.over()
        assert (bulk.outcome, sum(map(len, bulk.pieces))) == ("end", size)
        assert small >= 20


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000])
@on_uvloop
async def test_twenty_thousand_streams(processes: Processes, count: int):
    process, url = start(processes, "--secret", "s1")
    async with asker() as node:
        node.dialler.heard("n2", url)
        await node.until(LinkState.UP)
        opened = [node.ask("/echo", upgrade=True) for _ in range(count)]
        for _, told in opened:
            await told.until(lambda told=told: told.statuses == [101])
        for number, (exchange, _) in enumerate(opened):
            exchange.send_data(b"%d" % number)
        for number, (_, told) in enumerate(opened):
            await told.until(lambda told=told, number=number: told.body == b"%d" % number)
        for exchange, _ in opened:
            exchange.reset()
        assert await node.get() == b"hello from c1"
    assert process.stop() == 0

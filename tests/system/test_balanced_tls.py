"""TLS behind a PROXY header: the header comes first, and not a byte of the handshake is lost."""

import asyncio
import ssl
from pathlib import Path

import pytest

from app.server import balanced_listener
from tests.app.server.proxy_headers import line, relayed
from tests.fakes.certificates import NAME, Authority
from tests.system.balanced import CLIENT, SERVER, World, both, on, turns


class Contexts:
    """A certificate of the tests' own authority, and what both ends make of it."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue().configure_cert(self.server)
        self.client = authority.client()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("authority"))


class Client:
    """A client whose handshake the test writes piece by piece."""

    def __init__(self, world: World, contexts: Contexts) -> None:
        self.world = world
        self.socket = world.connect()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = contexts.client.wrap_bio(self._in, self._out, server_hostname=NAME)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.hello = self._out.read()

    async def shake_hands(self) -> None:
        """The rest of the handshake."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._exchange()
        self.socket.sendall(self._out.read())

    async def echoed(self, data: bytes) -> bytes:
        """What comes back."""
        self._tls.write(data)
        while True:
            try:
                return self._tls.read(len(data))
            except ssl.SSLWantReadError:
                await self._exchange()

    async def _exchange(self) -> None:
        if self._out.pending:
            self.socket.sendall(self._out.read())
        data = await self.world.loop.sock_recv(self.socket, 65_536)
        assert data, "the listener closed the connection"
        self._in.write(data)


@both
@pytest.mark.parametrize("header", [line(CLIENT, SERVER), relayed(CLIENT, SERVER)], ids=["1", "2"])
@pytest.mark.parametrize("cut", [0, 3, None], ids=["header alone", "cut in the hello", "in one segment"])
def test_the_handshake_begins_with_the_first_byte_after_the_header(
    loop: object, contexts: Contexts, header: bytes, cut: int | None
):
    async def test(world: World) -> None:
        client = Client(world, contexts)
        if cut is None:
            client.socket.sendall(header + client.hello)
        else:
            client.socket.sendall(header + client.hello[:cut])
            await turns(lambda: len(world.listener) == 1)
            client.socket.sendall(client.hello[cut:])
        await client.shake_hands()
        assert await client.echoed(b"hello") == b"hello"
        assert world.met[0].told == (CLIENT[0], SERVER[0])
        assert world.met[0].transport is not None
        assert world.met[0].transport.get_extra_info("sslcontext") is contexts.server
        client.socket.close()

    on(loop, test, tls=contexts.server)


@both
def test_one_that_speaks_no_tls_or_leaves_within_its_handshake_is_no_traceback(
    loop: object, contexts: Contexts, caplog: pytest.LogCaptureFixture
):
    async def test(world: World) -> None:
        plain = world.connect(line(CLIENT, SERVER) + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"HTTP/1.1" not in await world.read(plain, 100)
        plain.close()
        client = Client(world, contexts)
        client.socket.sendall(line(CLIENT, SERVER) + client.hello[:20])
        await turns(lambda: len(world.listener) == 1)
        client.socket.close()
        await turns(lambda: len(world.listener) == 0)
        assert world.met == []
        assert world.faults == {}
        assert caplog.records == []

    on(loop, test, tls=contexts.server)


@both
def test_a_handshake_under_way_is_waited_for_when_it_closes(loop: object, contexts: Contexts):
    async def test(world: World) -> None:
        client = Client(world, contexts)
        client.socket.sendall(line(CLIENT, SERVER) + client.hello)
        closing = asyncio.ensure_future(world.listener.close())
        await client.shake_hands()
        assert await client.echoed(b"hello") == b"hello"
        await closing
        assert await client.echoed(b"again") == b"again"
        client.socket.close()

    on(loop, test, tls=contexts.server)


@both
def test_a_handshake_that_does_not_end_when_it_closes_is_dropped(
    loop: object, contexts: Contexts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(balanced_listener, "LAST_SECONDS", 0.01)

    async def test(world: World) -> None:
        client = world.connect(line(CLIENT, SERVER))
        await world.listener.close()
        assert len(world.listener) == 0
        assert await world.ended(client)
        assert world.met == []
        client.close()

    on(loop, test, tls=contexts.server)

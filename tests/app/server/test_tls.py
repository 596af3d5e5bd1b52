"""The listener's context in memory: which certificate a handshake gets, and how each one is counted."""

import logging
import ssl
from pathlib import Path

import pytest

from app.observed.metrics import Tls
from app.server.tls import ListenerContext
from tests.fakes.certificates import NAME, Authority, serial


class Pair:
    """A client and the listener's end, record by record."""

    def __init__(self, listener: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = listener.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname=NAME)

    def step(self) -> None:
        for end in (self.client, self.server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue

    def shake_hands(self) -> None:
        for _ in range(3):
            self.step()


class World:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.counts = Tls()
        self.listener = ListenerContext(self.context(), self.counts)

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue().configure_cert(context)
        return context

    def pair(self) -> Pair:
        return Pair(self.listener, self.authority.client())

    @property
    def counted(self) -> tuple[int, int, int]:
        return self.counts.ok, self.counts.failed, self.counts.unfinished


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_handshake_is_counted_once(world: World):
    pair = world.pair()
    assert world.counted == (0, 0, 0)
    pair.shake_hands()
    assert world.counted == (1, 0, 0)
    pair.server.write(b"hello")
    assert pair.client.read() == b"hello"
    del pair
    assert world.counted == (1, 0, 0)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\x00\x05hello"])
def test_what_is_no_tls_has_failed(world: World, sent: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "gateway.tls")
    pair = world.pair()
    pair.to_server.write(sent)
    with pytest.raises(ssl.SSLError) as failed:
        pair.server.do_handshake()
    del pair
    assert world.counted == (0, 1, 0)
    ((name, level, text),) = caplog.record_tuples
    assert (name, level, text) == ("gateway.tls", logging.DEBUG, f"TLS handshake failed: {failed.value.reason}")


def test_a_client_that_distrusts_the_certificate_has_failed(world: World):
    pair = Pair(world.listener, ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        pair.shake_hands()
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        pair.server.do_handshake()
    assert world.counted == (0, 1, 0)


def test_a_client_that_is_dropped_before_the_end_is_unfinished(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "gateway.tls")
    pair = world.pair()
    pair.step()
    assert world.counted == (0, 0, 0)
    del pair
    assert world.counted == (0, 0, 1)
    assert caplog.messages == ["TLS handshake unfinished: the client left, or was too slow"]


def test_a_handshake_that_has_begun_keeps_its_certificate_and_new_ones_get_the_new_one(world: World):
    open_, begun = world.pair(), world.pair()
    open_.shake_hands()
    begun.step()
    world.listener.use(world.context())
    late = world.pair()
    for pair in (begun, late):
        pair.shake_hands()
    assert serial(open_.client) == serial(begun.client) != serial(late.client)
    open_.server.write(b"still here")
    assert open_.client.read() == b"still here"
    assert world.counted == (3, 0, 0)


def test_a_client_for_whom_there_is_no_room_has_no_handshake(world: World):
    asked: list[int] = []

    def lets_in(under_way: int) -> bool:
        asked.append(under_way)
        return under_way < 2

    world.listener.lets_in = lets_in
    pairs = [world.pair() for _ in range(2)]
    with pytest.raises(ConnectionAbortedError):
        world.pair()
    assert (asked, world.counts.under_way, world.counted) == ([0, 1, 2], 2, (0, 0, 0))
    pairs[0].shake_hands()
    assert (world.counts.under_way, world.counted) == (1, (1, 0, 0))
    del pairs
    assert (world.counts.under_way, world.counted) == (0, (1, 0, 1))

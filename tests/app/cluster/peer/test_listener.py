"""The internal listener on transports without sockets: who is let in, and what the others cost."""

import asyncio

import pytest

from app.cluster.peer import handshake
from app.cluster.peer.handshake import Access
from app.cluster.peer.listener import ARRIVAL_SECONDS, ARRIVALS, Arrival, PeerListener
from app.cluster.peer.serving import Serving
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport
from tunnel.account import Account
from tunnel.errors import NotHereError


def nowhere(_: object) -> None:
    raise NotHereError("no links")


class Door:
    """A listener that listens on no socket."""

    def __init__(self, access: Access = Access((b"one", b"two"))) -> None:  # noqa: B008 (it is frozen)
        self.changes = 0
        self.account = Account()
        self.serving = Serving(nowhere)  # type: ignore[arg-type]
        self.listener = PeerListener(
            self.serving, node="self", build="1", host="h", port=1, access=access, account=self.account,  # type: ignore[arg-type]
            on_change=self._changed,
        )  # fmt: skip

    def _changed(self) -> None:
        self.changes += 1

    def connect(self, message: bytes = b"") -> FakeTransport:
        arrival = self.listener.arrival()
        transport = FakeTransport(arrival)
        arrival.connection_made(transport)
        if message and not transport.closed:
            arrival.data_received(message)
        return transport


def hello(node: str = "n1", secret: bytes | None = b"one", to: str = "self") -> bytes:
    return handshake.request("h", node, "0.2", secret, to=to)


@dialogue
async def test_who_wants_the_node_that_was_here_before_ends_no_link():
    """A node that has started again has another id, and the others may not have heard of that yet."""
    door = Door()
    linked = door.connect(hello())
    late = door.connect(hello(to="before"))
    assert late.written.startswith(b"HTTP/1.1 421 ")
    assert b"another node is here by now: self" in late.written
    assert not linked.closed
    assert list(door.listener.links) == ["n1"]
    linked.lose()


@dialogue
async def test_who_dials_the_node_that_was_here_before_may_be_this_node_itself(caplog: pytest.LogCaptureFixture):
    """It finds its own old entry, after it was killed and started again at its address: nobody has to look at that."""
    door = Door()
    late = door.connect(hello(node="self", to="before"))
    assert b"another node is here by now: self, which has dialled itself" in late.written
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize("secret", [b"one", b"two"])
@dialogue
async def test_a_node_with_either_secret_is_let_in(secret: bytes):
    door = Door()
    transport = door.connect(hello(secret=secret))
    assert transport.written.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"X-Tunnel-Node: self\r\n" in transport.written
    assert list(door.listener.links) == ["n1"]
    assert door.listener.builds == {"n1": "0.2"}
    assert door.changes == 1
    assert repr(door.listener) == "<PeerListener h:1, 1 links, 0 arrivals>"
    transport.lose()
    assert door.listener.links == {}
    assert door.changes == 2


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (hello(secret=None), 401), (hello(secret=b"three"), 401), (hello(node="self"), 421),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404), (b"GET /-/peer HTTP/1.1\r\nHost: h\r\n\r\n", 426),
        (b"GET " + b"x" * 9000, 400), (b"\x16\x03\x01", 400),
    ],
)  # fmt: skip
@dialogue
async def test_refusals(message: bytes, status: int):
    door = Door()
    transport = door.connect(message)
    assert transport.written.startswith(b"HTTP/1.1 %d " % status)
    assert transport.closed
    assert door.listener.links == {}
    assert door.listener.refused == 1
    await quiet()


@dialogue
async def test_a_client_certificate_stands_for_a_secret():
    door = Door(Access(certificates=True))
    assert door.connect(hello(secret=None)).written.startswith(b"HTTP/1.1 401 ")
    arrival = door.listener.arrival()
    transport = FakeTransport(arrival)
    transport._extra["peercert"] = {"subject": ((("commonName", "n1"),),)}
    arrival.connection_made(transport)
    arrival.data_received(hello(secret=None))
    assert transport.written.startswith(b"HTTP/1.1 101 ")
    transport.lose()
    await quiet()


@dialogue
async def test_who_says_nothing_is_dropped():
    door = Door()
    for message in (b"", b"GET /-/peer HTTP/1.1\r\n"):
        transport = door.connect(message)
        await asyncio.sleep(ARRIVAL_SECONDS - 0.1)
        assert not transport.closed
        await asyncio.sleep(0.2)
        assert transport.aborted
        assert transport.written == b""


@dialogue
async def test_who_does_not_read_his_refusal_is_dropped():
    door = Door()
    arrival = door.listener.arrival()
    transport = FakeTransport(arrival)
    transport.stuck = True
    arrival.connection_made(transport)
    arrival.data_received(hello(secret=b"no"))
    assert not transport.lost
    await asyncio.sleep(ARRIVAL_SECONDS + 0.1)
    assert transport.aborted


@dialogue
async def test_so_many_wait_for_admission_and_no_more():
    door = Door()
    waiting = [door.connect() for _ in range(ARRIVALS)]
    late = door.connect()
    assert late.written.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert late.closed
    waiting[0].lose()
    assert not door.connect(hello()).closed
    await door.listener.close()
    await quiet()
    assert all(transport.lost for transport in waiting)


@dialogue
async def test_a_node_that_dials_again_replaces_its_link():
    door = Door()
    first = door.connect(hello())
    older = door.listener.links["n1"]
    second = door.connect(hello())
    await quiet()
    assert older.reason == "the node has dialled again"
    assert first.lost
    assert not second.lost
    assert door.listener.links["n1"] is not older
    await door.listener.close()
    assert second.lost


@dialogue
async def test_a_drain_refuses_links_and_streams_and_a_close_ends_them():
    door = Door()
    transport = door.connect(hello())
    door.listener.drain()
    await quiet()
    assert not transport.lost
    assert door.serving.is_draining
    assert door.connect(hello("n2")).written.startswith(b"HTTP/1.1 503 ")
    await door.listener.close()
    await door.listener.close()
    assert transport.lost
    with pytest.raises(RuntimeError):
        _ = door.listener.address


@dialogue
async def test_what_follows_the_head_at_once_belongs_to_the_link():
    door = Door()
    transport = door.connect(hello() + bytes((0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9)))  # yamux: a ping
    await quiet()
    assert bytes((0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9)) in transport.written
    transport.lose()


@dialogue
async def test_a_stranger_who_leaves_is_forgotten():
    door = Door()
    transport = door.connect(b"GET")
    assert isinstance(transport.protocol, Arrival)
    transport.lose()
    assert repr(door.listener).endswith("0 links, 0 arrivals>")

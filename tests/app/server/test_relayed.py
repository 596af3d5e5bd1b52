"""What a PROXY header's addresses mean to a request: who the client is, whom it asked, and whose word is believed."""

import asyncio

import pytest

from app.server.connection import Connection
from app.server.http import reception_of
from app.settings import token_hash
from app.settings.hosts import network
from tests.app.server.door import Door
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport

TRUSTED = tuple(network(value, ()) for value in ("10.0.0.0/8", "203.0.113.9"))
"""Other proxies, and the peer of the fake wire: the balancer."""
CLIENT = "198.51.100.7"


class Relayed(Visitor):
    """A client's connection through a balancer, whose header named these two."""

    def __init__(self, front: Front, peer: str, local: str) -> None:
        self.wire = FakeTransport()
        loop = asyncio.get_running_loop()
        reception = reception_of(front.config, front.state, {}, loop)
        self.protocol = Connection(reception, loop, peer, local)  # type: ignore[assignment]
        self.wire.protocol = self.protocol
        self.wire.can_write_eof = lambda: True  # type: ignore[method-assign]
        self.protocol.connection_made(self.wire)


@dialogue
async def test_the_headers_addresses_stand_for_the_sockets():
    loop = asyncio.get_running_loop()
    for told, known in [
        (("2001:db8::9", "2001:db8::1"), ("2001:db8::9", "2001:db8::1")),
        (("", ""), ("203.0.113.9", "192.0.2.1")),
    ]:
        wire = FakeTransport()
        wire.protocol = connection = Connection(Door(), loop, *told)
        connection.connection_made(wire)
        assert (connection.peer, connection.local) == known
        wire.lose()


@pytest.mark.parametrize(
    ("peer", "said", "forwarded"),
    [
        (CLIENT, b"192.0.2.99", b"198.51.100.7"),  # a client's claim is dropped, though the balancer is trusted
        ("10.1.2.3", b"192.0.2.99", b"192.0.2.99, 10.1.2.3"),  # a trusted proxy in front of the balancer
        ("", b"192.0.2.99", b"192.0.2.99, 203.0.113.9"),  # the balancer speaks for itself
    ],
    ids=["client", "proxy", "balancer"],
)
@dialogue
async def test_forwarding_fields_are_believed_if_the_headers_source_is_trusted(
    peer: str, said: bytes, forwarded: bytes
):
    for field in (b"X-Forwarded-For: %b\r\n", b"Forwarded: for=%b\r\n"):
        async with Stage(trusted_proxies=TRUSTED) as stage:
            with Relayed(Front(stage), peer, "192.0.2.200" if peer else "") as visitor:
                visitor.ask("/", field % said)
                sent = dict(stage.exchange.head.headers)
                assert sent[b"x-forwarded-for"] == forwarded
                client, *proxies = [b"for=" + node for node in forwarded.split(b", ")]
                assert sent[b"forwarded"].split(b", ") == [client + b';proto=http;host="app.example.test"', *proxies]
                stage.exchange.whole(b"hello")


@pytest.mark.parametrize(
    ("told", "host", "status"),
    [
        ((CLIENT, "192.0.2.200"), "192.0.2.200", 401),  # the address that the client dialled
        ((CLIENT, "192.0.2.200"), "192.0.2.1", 404),  # the socket's, which only the balancer dials
        (("2001:db8::9", "2001:db8::1"), "[2001:DB8:0::1]:443", 401),
        (("", ""), "192.0.2.1", 401),
        (("", ""), "192.0.2.200", 404),
    ],
)
@dialogue
async def test_our_own_endpoints_answer_at_the_address_that_the_client_dialled(
    told: tuple[str, str], host: str, status: int
):
    async with Stage(admin_token_hash=token_hash("0123456789abcdef")) as stage:
        with Relayed(Front(stage), *told) as visitor:
            visitor.ask("/metrics", host=host)
            await quiet()
            assert visitor.status == status

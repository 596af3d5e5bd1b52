"""Targets in absolute form: their authority has to be the Host's, and the service gets their path."""

import pytest

from tests.app.server.door import Client, Door
from tests.app.server.door_stage import ACCEPTED, HANDSHAKE, Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService


def asked(target: str, *hosts: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]).encode()


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://h.test/x%2Fy?q=1", "h.test", b"/x%2Fy", b"q=1"),
        ("http://h.test", "h.test", b"/", b""),
        ("http://h.test?q=/", "h.test", b"/", b"q=/"),
        ("HTTP://H.Test./x", "h.test", b"/x", b""),
        ("http://h.test:80/x", "h.test", b"/x", b""),
        ("http://h.test/x", "h.test:80", b"/x", b""),
        ("https://h.test/x", "h.test:443", b"/x", b""),
        ("http://h.test:8080/x", "h.test:8080", b"/x", b""),
        ("http://[::1]/x", "[::1]:80", b"/x", b""),
        ("http://h.test//x", "h.test", b"//x", b""),
    ],
)
@dialogue
async def test_an_authority_that_is_the_host(target: str, host: str, path: bytes, query: bytes):
    door = Door()
    with Client(door) as client:
        client.send(asked(target, host))
        head = door.call.head
        assert head is not None
        assert (head.path, head.query, head.target) == (path, query, path + (b"?" + query if query else b""))
        assert head.fields.host == host.encode()


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("http://other.test/x", ["h.test"]),
        ("http://h.test.other.test/x", ["h.test"]),
        ("http://h.test:81/x", ["h.test"]),
        ("https://h.test/x", ["h.test:80"]),
        ("http://user:password@h.test/x", ["h.test"]),
        ("http://user@h.test/x", ["h.test"]),
        ("ftp://h.test/x", ["h.test"]),
        ("http://[::1]/x", ["[::2]"]),
        ("http://h.test/x", []),
        ("http://h.test/x", ["h.test", "h.test"]),
        ("http://h.test/x", ["h.test", "other.test"]),
    ],
)
@dialogue
async def test_an_authority_that_is_not(target: str, hosts: list[str]):
    door = Door()
    with Client(door) as client:
        client.send(asked(target, *hosts))
        await quiet()
        assert [error.problem.status for error in door.refused] == [400]
        assert [call.head for call in door.calls] == [None]
        assert client.got.startswith(b"HTTP/1.1 400 ")
    with Client(door) as client:  # the next connection's request is its own
        client.send(asked("/x", "h.test"))
        assert door.call.head is not None


@pytest.mark.parametrize("offer", ["websocket", "h2c"])
@dialogue
async def test_an_offer_to_upgrade_does_not_hide_it(offer: str):
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("http://other.test/w", HANDSHAKE.replace(b"websocket", offer.encode()))
            await quiet()
            assert visitor.status == 400
            assert b"authority" in visitor.got
            assert stage.link.exchanges == []


@dialogue
async def test_a_websocket_with_an_absolute_target_has_its_path():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask(f"http://{HOST}/w%2F?q=1", HANDSHAKE)
            assert stage.exchange.head.target == b"/w%2F?q=1"
            service = FakeService(stage.exchange)
            service.accept()
            await quiet()
            assert visitor.got.startswith(ACCEPTED)


@dialogue
async def test_options_of_the_server_itself():
    door = Door()
    with Client(door) as client:
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        assert door.call.head is not None
        assert door.call.head.path == b"*"

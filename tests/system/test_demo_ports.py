"""Which port the demonstration takes: looked at on both address families, and another one known by its answer."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from app.demo import ports
from tests.system.harness import free_port

pytestmark = pytest.mark.anyio

FOUR, SIX = "127.0.0.1", "::1"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((SIX, 0))
    except OSError:
        return False
    return True


ADDRESSES = [FOUR, pytest.param(SIX, marks=pytest.mark.skipif(not has_ipv6(), reason="no ::1 on this machine"))]


@contextmanager
def held(address: str, port: int, *, backlog: int | None = 5) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((address, port))
        if backlog is not None:
            server.listen(backlog)
        yield server


@contextmanager
def answering(address: str, port: int, answer: bytes) -> Iterator[list[bytes]]:
    """A server that gives every client this answer; what it was asked."""
    asked: list[bytes] = []

    def serve(server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                if request := client.recv(4096):
                    asked.append(request)
                    client.sendall(answer)

    with held(address, port) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def taken(port: int) -> ports.Taken:
    """Who has it; the port that was chosen instead is free, and nobody else's."""
    choice = await ports.choose(port)
    with choice.hold:
        assert choice.port != port
        assert await ports.who_has(choice.port) is None
        assert choice.taken is not None
        return choice.taken


async def test_a_free_port_is_taken_and_held_against_a_demo_that_starts_at_the_same_moment() -> None:
    port = free_port()
    first = await ports.choose(port)
    with first.hold:
        assert (first.port, first.taken) == (port, None)
        second = await ports.choose(port)
        with second.hold:
            assert second.port not in (port, 0)
    third = await ports.choose(port)
    with third.hold:
        assert third.port == port


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_port_on_one_family_is_in_use(address: str) -> None:
    port = free_port()
    with answering(address, port, b"220 mail.example.test ESMTP\r\n"):
        assert str(await taken(port)) == f"port {port} is in use on {address} by another program"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_port_that_is_bound_and_not_listened_at(address: str) -> None:
    port = free_port()
    with held(address, port, backlog=None):
        assert str(await taken(port)) == f"port {port} is in use on {address} by another program"


@pytest.mark.parametrize("address", ADDRESSES)
async def test_another_demo_is_known_by_its_answer(address: str) -> None:
    port = free_port()
    url = f"http://demo.localhost:{port}/"
    body = json.dumps({"demo": "tunnel-gateway", "url": url, "run": "x", "entries": []}).encode()
    with answering(address, port, http(body)) as asked:
        assert str(await taken(port)) == f"another demo is running: {url}"
    assert asked[0].startswith(f"GET /demo.json HTTP/1.0\r\nHost: demo.localhost:{port}\r\n".encode())


@pytest.mark.parametrize(
    "answer",
    [
        http(b"the demo is ready, already"),
        http(b'{"demo": "of somebody else", "url": "http://other/"}'),
        http(b'{"demo": "tunnel-gateway", "url": "http://old/"}', "404 Not Found"),
        http(b'{"demo": "tunnel-gateway"}'),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff" * 200_000,
        b"",
    ],
)
async def test_what_only_looks_like_one_is_another_program(answer: bytes) -> None:
    port = free_port()
    with answering(FOUR, port, answer):
        assert (await taken(port)).demo_url == ""


async def test_one_that_never_answers_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_ANSWER_SECONDS", 0.1)
    port = free_port()
    with held(FOUR, port):
        assert str(await taken(port)) == f"port {port} is in use on {FOUR} by another program"


async def test_one_that_accepts_nobody_any_more_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(ports, "_ANSWER_SECONDS", 0.1)
    port = free_port()
    with held(FOUR, port, backlog=0), socket.create_connection((FOUR, port)), socket.socket() as another:
        another.setblocking(False)
        another.connect_ex((FOUR, port))
        assert str(await taken(port)) == f"port {port} is in use on {FOUR} by another program"


async def test_a_socket_that_a_process_inherits_listens_already() -> None:
    with closing(ports.listening()) as server, socket.create_connection(server.getsockname()):
        pass

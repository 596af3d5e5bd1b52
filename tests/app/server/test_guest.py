"""A connection of the reserve: what it must ask for, how soon, and how it ends."""

import asyncio
import json
from hashlib import sha256

import pytest

from app.server.connection_states import State
from app.settings import Grant
from tests.app.server.crowded import NOBODY, TURNED_AWAY, Client, Crowded
from tests.app.server.door_stage import ACCEPTED, HANDSHAKE
from tests.app.stage import HOST
from tests.fakes.loop import dialogue, quiet

TOKEN = "token-of-an-agent"
GRANTS = {sha256(TOKEN.encode()).digest(): Grant(("c1",))}


def full(**settings: object) -> Crowded:
    """A door with one silent client, and room for none but the reserve's eight."""
    crowded = Crowded(1, 8, **settings)
    crowded.come()
    return crowded


def refused(client: Client) -> bool:
    """Answered 503, and closed without a pause."""
    head, _, body = client.got.partition(b"\r\n\r\n")
    assert client.wire.done[-1] == "close"
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 5" in head
    assert b"\r\nconnection: close" in head
    return json.loads(body)["code"] == "too_many_connections"


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("/none", "localhost", 404),
        ("/none", "192.0.2.1", 404),
        ("/healthz", "localhost", 200),
        ("/readyz", "other.test", 200),
        ("/-/status", "localhost", 404),
        ("/api/v1/gateway/routes/sync", "localhost", 405),
    ],
)
@dialogue
async def test_what_is_for_the_gateway_itself_is_answered_and_the_connection_ends(target: str, host: str, status: int):
    async with full() as crowded:
        guest = crowded.come()
        guest.ask(target, host=host)
        await quiet()
        assert guest.status == status
        assert b"\r\nconnection: close\r\n" in guest.got
        assert guest.wire.done[-1] == "close"
        assert crowded.shed() == NOBODY


@pytest.mark.parametrize(("target", "host"), [("/", HOST), ("/", "other.test"), ("/healthz", HOST), ("/", "b a d")])
@pytest.mark.parametrize("lines", [b"", HANDSHAKE])
@dialogue
async def test_anything_else_is_answered_503(target: str, host: str, lines: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with full() as crowded:
        guest = crowded.come()
        guest.ask(target, lines, host=host)
        await quiet()
        assert refused(guest)
        assert crowded.stage.link.exchanges == []
        assert crowded.shed() == {TURNED_AWAY: 1}
        lines_ = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
        assert len(lines_) == 1
        assert f"{host}{target} " in lines_[0]
        assert "503" in lines_[0]
        assert "(too_many_connections)" in lines_[0]


@pytest.mark.parametrize("pieces", [[], [b"G"], [b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", b"X: y\r\n"]])
@dialogue
async def test_silence_and_trickling_are_answered_503_after_two_seconds(pieces: list[bytes]):
    async with full() as crowded:
        guest = crowded.come()
        for piece in pieces:
            guest.send(piece)
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.0 - 0.5 * len(pieces) - 0.01)
        assert guest.is_there
        await asyncio.sleep(1.1)
        assert refused(guest)
        assert crowded.shed() == {TURNED_AWAY: 1}


@dialogue
async def test_what_is_no_request_is_answered_so_and_closed():
    async with full() as crowded:
        guest = crowded.come()
        guest.send(b"bad\nmore")
        await quiet()
        assert guest.status == 400
        assert guest.wire.done[-1] == "close"
        assert crowded.shed() == NOBODY


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (b"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"POST /none HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n"),
        (b"POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        (b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET"),
    ],
)
@dialogue
async def test_it_is_closed_after_its_answer_whatever_may_still_come(head: bytes, rest: bytes):
    async with full() as crowded:
        guest = crowded.come()
        guest.send(head + rest)
        await quiet()
        assert guest.got.count(b"HTTP/1.1 ") == 1
        assert guest.wire.done[-1] == "close"
        await quiet()
        assert guest.connection.state is State.CLOSED


@dialogue
async def test_an_agents_websocket_stays():
    async with full(grants=GRANTS) as crowded:
        agent = crowded.come()
        agent.ask("/agent", HANDSHAKE, f"Authorization: Bearer {TOKEN}\r\n".encode(), host="localhost")
        await quiet()
        assert agent.got.startswith(ACCEPTED)
        await asyncio.sleep(15.0)
        assert agent.connection.state is State.OPEN
        assert agent.is_there
        assert crowded.shed() == NOBODY
        agent.wire.lose()
        await quiet()


@dialogue
async def test_an_agent_that_is_refused_does_not_stay():
    async with full(grants=GRANTS) as crowded:
        agent = crowded.come()
        agent.ask("/agent", HANDSHAKE, b"Authorization: Bearer wrong\r\n", host="localhost")
        await quiet()
        assert agent.status == 503
        assert b"agent_refused" in agent.got
        assert agent.wire.done[-1] == "close"


@dialogue
async def test_a_guest_may_take_longer_for_its_answer():
    """Two seconds are for the head alone."""
    async with full() as crowded:
        may_answer = asyncio.Event()

        async def app(_: object, __: object, send: object) -> None:
            await may_answer.wait()
            await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
            await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

        crowded.reception._app = app
        guest = crowded.come()
        guest.ask("/-/drain?wait=60", host="localhost", method="POST")
        await asyncio.sleep(60.0)
        assert (guest.got, guest.is_there) == (b"", True)
        may_answer.set()
        await quiet()
        assert guest.status == 204


@dialogue
async def test_guests_that_leave_or_meet_a_drain_leave_nothing():
    async with full() as crowded:
        left, half, drained = (crowded.come() for _ in range(3))
        left.wire.lose()
        half.send(b"GET / HT")
        assert not half.connection.eof_received()
        half.wire.close()
        drained.connection.finish()
        await quiet()
        assert len(crowded.reception.connections) == 1
        await asyncio.sleep(3.0)
        assert crowded.shed() == NOBODY
        assert [client.got for client in (left, half, drained)] == [b""] * 3


@dialogue
async def test_a_guest_says_who_it_is():
    async with full() as crowded:
        guest = crowded.come()
        reception = guest.connection._reception
        assert repr(reception) == "<Guest <Connection waiting for a request, 0 requests, 0 bytes wait>>"
        guest.ask("/none", host="localhost")
        assert guest.connection._reception is crowded.reception
        await quiet()


@dialogue
async def test_the_controller_socket_is_closed_with_1013_where_others_get_503():
    """On no control host it is not for the gateway itself; a 503 would strand the existing agent for good."""
    async with full(grants=GRANTS) as crowded:
        agent = crowded.come()
        agent.ask("/api/v1/clusters/agent/ws", HANDSHAKE, host="elsewhere.test")
        await quiet()
        head, _, frames = agent.got.partition(b"\r\n\r\n")
        assert head.startswith(ACCEPTED)
        assert frames[2:4] == (1013).to_bytes(2, "big")
        assert frames[4:] == b"too_many_connections"

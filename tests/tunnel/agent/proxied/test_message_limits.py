"""What the agent sends never exceeds what the gateway accepts: bodies are cut, and the rest ends its own exchange."""

import json
import logging

import pytest

from tests.tunnel.agent.proxied.conversation import OVER, Conversation
from tunnel.websocket import Closed, Failed, Message
from tunnel.wire.message_limits import carried_bytes
from tunnel.wire.proxy_messages import BINARY, CLOSE, TEXT

pytestmark = pytest.mark.anyio

LIMIT = 20_000
FITS = carried_bytes(LIMIT)
CLOSE_1009 = (1009).to_bytes(2) + b"message too large for the gateway"


@pytest.fixture
async def limited(monkeypatch, dialect):
    return Conversation(monkeypatch, dialect, limit_bytes=LIMIT)


@pytest.fixture
async def limited_whole(monkeypatch):
    return Conversation(monkeypatch, streamed=False, limit_bytes=LIMIT)


def all_fit(conversation):
    for said in conversation.said:
        assert len(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT
    return True


async def is_well(conversation):
    conversation.request("well", path="/well")
    number = len(conversation.services) + 1
    service = await conversation.service(number)
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell")
    assert conversation.body("well") == b"well"
    assert conversation.types("well")[-1] == "proxy_response_end"


async def test_a_message_that_is_too_large_ends_its_websocket_alone(limited, caplog):
    peer = await limited.websocket()
    other = await limited.websocket_of("r-2")
    peer.say("before")
    peer.say(b"x" * FITS)
    peer.say(b"x" * (FITS + 1))
    assert limited.frames() == [(TEXT, b"before"), (BINARY, b"x" * FITS), (CLOSE, CLOSE_1009)]
    assert limited.types()[-1] == OVER[limited.dialect]
    assert [event.code for event in peer.events() if isinstance(event, Closed | Failed)] == [1009]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    expected = f"ends: the service sent a message above {FITS} bytes, more than the gateway accepts"
    assert line == f"exchange to apps/web:80 {expected}"
    other.say("still here")
    assert limited.frames("r-2") == [(TEXT, b"still here")]
    limited.frame(TEXT, b"and back", "r-2")
    assert other.events() == [Message("and back")]
    limited.services[1].lose()
    await limited.over()
    assert all_fit(limited)


async def test_a_message_is_refused_by_its_head(limited):
    peer = await limited.websocket()
    peer.raw(b"\x82\x7f" + (1 << 40).to_bytes(8))
    assert limited.frames() == [(CLOSE, CLOSE_1009)]
    await limited.over()


async def test_a_gateway_that_accepts_more_gets_more(monkeypatch, dialect):
    conversation = Conversation(monkeypatch, dialect, limit_bytes=40_000_000)
    peer = await conversation.websocket()
    peer.say(b"x" * 20_000_000)
    assert [(kind, len(payload)) for kind, payload in conversation.frames()] == [(BINARY, 20_000_000)]
    conversation.services[0].lose()
    await conversation.over()


async def test_a_gateway_that_tells_nothing_gets_what_it_always_got(conversation):
    peer = await conversation.websocket()
    peer.say(b"x" * 10 * 1024 * 1024)
    peer.raw(b"\x82\x7f" + (10 * 1024 * 1024 + 1).to_bytes(8))
    kinds = [(kind, payload[:2] if kind == CLOSE else len(payload)) for kind, payload in conversation.frames()]
    assert kinds == [(BINARY, 10 * 1024 * 1024), (CLOSE, (1009).to_bytes(2))]
    await conversation.over()


async def test_what_is_assembled_is_held_and_bounded(monkeypatch, dialect):
    conversation = Conversation(monkeypatch, dialect, limit_bytes=1 << 40)
    account = conversation.account
    account.hard_mark_bytes = 1_000_000
    peer = await conversation.websocket()
    peer.raw(b"\x82\x7f" + (1 << 30).to_bytes(8) + bytes(500_000))
    assert 500_000 <= account.held_bytes < 510_000
    peer.raw(bytes(600_000))
    assert conversation.frames() == [(CLOSE, (1013).to_bytes(2))]
    await conversation.over()


@pytest.mark.parametrize("size", [0, 1, FITS, FITS + 1, 200_000])
async def test_an_answer_is_cut_to_fit(limited, size):
    limited.request()
    service = await limited.service()
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size)
    assert limited.body() == b"a" * size
    assert limited.types()[-1] == "proxy_response_end"
    await limited.over()
    assert all_fit(limited)


async def test_a_head_that_is_too_large_ends_its_exchange_alone(limited, caplog):
    limited.request()
    service = await limited.service()
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Large: " + b"x" * LIMIT + b"\r\n\r\nno")
    assert limited.types() == ["proxy_response_abort"]
    error = limited.payload("proxy_response_abort")["error"]
    assert error.startswith("service request failed: a message of 20")
    assert error.endswith(" bytes is larger than the 20000 that the gateway accepts")
    assert f"exchange to apps/web:80 ends: {error.partition(': ')[2]}" in caplog.messages
    await is_well(limited)
    await limited.over()
    assert all_fit(limited)


async def test_a_refusal_with_a_large_head(limited):
    limited.request(is_websocket=True)
    service = await limited.service()
    service.say(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nX-Large: " + b"x" * LIMIT + b"\r\n\r\nno")
    assert limited.types() == ["proxy_response_abort"]
    await limited.over()


async def test_a_101_with_a_large_head(limited):
    peer = await limited.websocket(b"X-Large: " + b"x" * LIMIT)
    assert limited.types() == ["proxy_response_abort"]
    peer.raw(b"\x81\x02hi")
    assert limited.frames() == []
    await is_well(limited)
    await limited.over()


@pytest.mark.parametrize(("size", "fits"), [(FITS - 500, True), (FITS, True), (FITS + 1, False), (1_000_000, False)])
async def test_an_answer_that_is_to_come_whole(limited_whole, size, fits):
    limited_whole.request()
    service = await limited_whole.service()
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size)
    assert limited_whole.types() == ["proxy_response" if fits else "proxy_error"]
    if not fits:
        error = limited_whole.payload("proxy_error")["error"]
        assert error == f"service request failed: the answer is longer than {FITS} bytes, and was to come whole"
    await limited_whole.over()
    assert all_fit(limited_whole)


async def test_a_whole_answer_whose_head_makes_it_too_large(limited_whole):
    limited_whole.request()
    service = await limited_whole.service()
    service.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\nX-Large: " + b"x" * 9000 + b"\r\n\r\n" + bytes(9000))
    assert limited_whole.types() == ["proxy_error"]
    assert "larger than the 20000 that the gateway accepts" in limited_whole.payload("proxy_error")["error"]
    await limited_whole.over()


async def test_a_long_reason_is_cut(limited):
    limited.request(service_name="n" * 19_000)
    assert all_fit(limited)
    await limited.over()

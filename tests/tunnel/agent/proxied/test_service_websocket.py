"""WebSockets as messages, without a socket."""

import struct

import pytest

from tests.tunnel.agent.proxied.conversation import OVER, Peer, b64
from tunnel.agent.proxied import backlog, service_websocket
from tunnel.agent.service.dial import DialError
from tunnel.websocket import Closed, Failed, Message, Ping, Pong
from tunnel.wire.proxy_messages import BINARY, CLOSE, PING, PONG, TEXT

pytestmark = pytest.mark.anyio


def close(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


def reason_of(conversation):
    """What is said with the end: only the chunk dialect has a place for it."""
    found = [said for said in conversation.said if said["type"] == OVER[conversation.dialect]]
    assert len(found) == 1
    if conversation.dialect == "json":
        assert found[0]["payload"] == {"request_id": "r-1", "stream_id": "r-1"}
        return None
    return found[0]["reason"]


async def test_messages_both_ways(conversation):
    peer = await conversation.websocket(
        b"Sec-WebSocket-Protocol: b", headers={"Host": ["app"], "Sec-WebSocket-Protocol": ["a, b"], "Cookie": ["c"]}
    )
    lines, _ = conversation.services[0].head
    assert lines[:3] == [b"GET / HTTP/1.1", b"Host: app", b"Cookie: c"]
    assert b"Sec-WebSocket-Protocol: a, b" in lines
    assert not [line for line in lines if line.lower().startswith(b"sec-websocket-extensions")]
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    head = conversation.payload("proxy_response_header")
    assert (head["status"], head["headers"]["Sec-Websocket-Protocol"]) == (101, ["b"])
    peer.say("gr\xfc\xdfe")
    peer.say(b"\x00\xff")
    peer.say("")
    assert conversation.frames() == [(TEXT, "gr\xfc\xdfe".encode()), (BINARY, b"\x00\xff"), (TEXT, b"")]
    conversation.frame(TEXT, "z\xfcr\xfcck".encode())
    conversation.frame(BINARY, b"\x0a")
    conversation.frame(TEXT)
    assert peer.events() == [Message("z\xfcr\xfcck"), Message(b"\x0a"), Message("")]
    conversation.tell("proxy_cancel")
    await conversation.over()


async def test_a_gateway_that_takes_answers_whole(whole):
    await whole.websocket()
    assert whole.types() == ["proxy_response"]
    assert whole.payload("proxy_response")["status"] == 101
    whole.leave()
    whole.services[0].lose()
    await whole.over()


async def test_frames_before_the_101_wait_for_it(conversation):
    conversation.request(is_websocket=True)
    conversation.frame(TEXT, b"early")
    service = await conversation.service()
    conversation.frame(TEXT, b"too")
    assert service.head[1] == b""
    peer = Peer(service).accept()
    assert peer.events() == [Message("early"), Message("too")]
    service.lose()
    await conversation.over()


async def test_a_burst_is_complete_and_in_order(conversation):
    peer = await conversation.websocket()
    sent = [f"frame {number}" for number in range(500)]
    for text in sent:
        conversation.frame(TEXT, text.encode())
    assert [event.data for event in peer.events()] == sent
    for text in sent:
        peer.say(text)
    assert [payload.decode() for _, payload in conversation.frames()] == sent
    conversation.services[0].lose()
    await conversation.over()


async def test_a_slow_service_gets_a_burst_in_order(conversation):
    peer = await conversation.websocket()
    service = conversation.services[0]
    service.become_slow()
    for number in range(500):
        conversation.frame(BINARY, b"%03d" % number)
    conversation.frame(CLOSE, close(4001, "bye"))
    service.catch_up()
    events = peer.events()
    assert [event.data for event in events[:-1]] == [b"%03d" % number for number in range(500)]
    assert events[-1] == Closed(4001, "bye")
    service.lose()
    await conversation.over()


async def test_a_service_that_takes_nothing_loses_its_websocket(conversation, monkeypatch, caplog):
    monkeypatch.setattr(backlog, "WAITING_BYTES", 10)
    await conversation.websocket()
    conversation.services[0].become_slow()
    for _ in range(4):
        conversation.frame(TEXT, b"12345678")
    assert conversation.frames() == [(CLOSE, close(1011))]
    (line,) = [record.getMessage() for record in caplog.records if " ends: " in record.getMessage()]
    assert line.endswith("bytes wait for the service, which does not take them")
    await conversation.over()


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [(1000, "", close(1000)), (4001, "bye \xfc", close(4001, "bye \xfc")), (None, "", b"")],
)
async def test_the_services_close_is_reported(conversation, code, reason, payload):
    peer = await conversation.websocket()
    peer.say("last")
    peer.close(code, reason)
    assert conversation.frames() == [(TEXT, b"last"), (CLOSE, payload)]
    assert conversation.types()[-1] == OVER[conversation.dialect]
    assert (reason_of(conversation) or "closed by the service").startswith("closed by the service")
    assert isinstance(peer.events()[-1], Closed)
    await conversation.over()
    assert conversation.services[0].closed
    assert not conversation.services[0].aborted


@pytest.mark.parametrize("way", ["end", "lose"])
async def test_a_service_that_is_gone_is_reported(conversation, way):
    peer = await conversation.websocket()
    peer.say("last")
    getattr(conversation.services[0], way)()
    assert conversation.frames() == [(TEXT, b"last")]
    assert "service" in (reason_of(conversation) or "service")
    await conversation.over()


async def test_a_service_that_breaks_the_rules(conversation):
    peer = await conversation.websocket()
    peer.raw(b"\xff\x00")
    ((kind, payload),) = conversation.frames()
    assert (kind, payload[:2]) == (CLOSE, close(1002))
    assert "broke RFC 6455" in (reason_of(conversation) or "broke RFC 6455")
    assert peer.events()[-1].code == 1002
    await conversation.over()


async def test_pings(conversation):
    peer = await conversation.websocket()
    peer.ping(b"service")
    assert peer.events() == [Pong(b"service")]
    peer.pong(b"nobody asked")
    assert conversation.frames() == []
    conversation.frame(PING, b"gateway")
    assert peer.events() == [Ping(b"gateway")]
    peer.pong(b"gateway")
    peer.pong(b"gateway")
    assert conversation.frames() == [(PONG, b"gateway")]
    conversation.frame(PONG, b"answer")
    assert peer.events() == [Pong(b"answer")]
    conversation.services[0].lose()
    await conversation.over()


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (close(4001, "client bye"), Closed(4001, "client bye")),
        (b"", Closed(1005, "")),
        (close(1006), Closed(1005, "")),
        (b"\x03", Closed(1005, "")),
        (close(1000) + b"\xff", Closed(1000, "")),
    ],
)
async def test_the_clients_close(conversation, payload, seen):
    peer = await conversation.websocket()
    conversation.frame(TEXT, b"last")
    conversation.frame(CLOSE, payload)
    conversation.frame(TEXT, b"too late")
    conversation.frame(CLOSE, close(1000))
    assert peer.events() == [Message("last"), seen]
    assert conversation.frames() == []
    peer.close(1000)  # ours was answered by the peer's codec, whose answer the test does not pass on
    peer.raw(b"\x88\x00")
    assert conversation.types()[-1] == OVER[conversation.dialect]
    await conversation.over()


async def test_a_close_before_the_101_waits_for_it(conversation):
    conversation.request(is_websocket=True)
    service = await conversation.service()
    conversation.frame(TEXT, b"all of it")
    conversation.frame(CLOSE, close(4001))
    peer = Peer(service).accept()
    assert peer.events() == [Message("all of it"), Closed(4001, "")]
    assert conversation.types() == ["proxy_response_header", "proxy_response_end"]
    peer.raw(b"\x88\x02\x0f\xa1")
    assert conversation.frames() == [(CLOSE, close(4001))]
    await conversation.over()


async def test_a_service_that_does_not_answer_a_close(conversation, monkeypatch):
    monkeypatch.setattr(service_websocket, "CLOSING_SECONDS", 0.01)
    await conversation.websocket()
    conversation.frame(CLOSE, close(1000))
    await conversation.over()
    assert "did not answer the close" in (reason_of(conversation) or "did not answer the close")


async def test_a_close_before_a_101_that_never_comes(conversation, monkeypatch):
    monkeypatch.setattr(service_websocket, "CLOSING_SECONDS", 0.01)
    conversation.request(is_websocket=True)
    await conversation.service()
    conversation.frame(CLOSE, close(4001))
    await conversation.over()
    assert conversation.types() == ["proxy_response_header", "proxy_response_abort"]
    assert conversation.payload("proxy_response_abort")["error"].endswith(": context deadline exceeded")


async def test_the_gateway_leaves(conversation):
    peer = await conversation.websocket()
    conversation.frame(TEXT, b"last")
    conversation.leave()
    conversation.frame(TEXT, b"too late")
    assert peer.events() == [Message("last"), Closed(1000, "")]
    said = len(conversation.said)
    peer.raw(b"\x81\x01x\x88\x02\x03\xe8")
    await conversation.over()
    assert len(conversation.said) == said


async def test_a_close_and_then_leaving_keeps_the_code(conversation):
    peer = await conversation.websocket()
    conversation.frame(CLOSE, close(4001))
    conversation.leave()
    assert peer.events() == [Closed(4001, "")]
    peer.raw(b"\x88\x00")
    await conversation.over()


async def test_cancelling(conversation):
    peer = await conversation.websocket()
    conversation.tell("proxy_cancel")
    assert peer.events() == [Closed(1001, "")]
    assert conversation.frames() == [(CLOSE, close(1001))]
    assert reason_of(conversation) in {None, "request cancelled"}
    await conversation.over()


@pytest.mark.parametrize("act", ["cancel", "leave", "garbage"])
async def test_giving_up_before_the_101(conversation, act):
    conversation.request(is_websocket=True)
    service = await conversation.service()
    if act == "cancel":
        conversation.tell("proxy_cancel")
    elif act == "leave":
        conversation.leave()
    else:
        conversation.frame(7)
    assert conversation.types() == ["proxy_response_abort"]
    assert conversation.payload("proxy_response_abort")["error"].startswith("failed to connect to service WebSocket: ")
    await conversation.over()
    assert service.aborted


async def test_a_refusal_is_passed_on_whole(conversation):
    conversation.request(is_websocket=True)
    service = await conversation.service()
    service.say(b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno")
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]
    assert conversation.payload("proxy_response_header")["status"] == 403
    await conversation.over()


async def test_a_refusal_that_breaks_off(conversation):
    conversation.request(is_websocket=True)
    service = await conversation.service()
    service.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno")
    service.end()
    await conversation.over()
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_abort"]


@pytest.mark.parametrize(
    ("streamed", "answer", "said"),
    [
        (False, b"HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nContent-Length: 2\r\n\r\nno", "bad handshake (status: 403)"),
        (False, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad handshake (status: 200)"),
        (True, b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n", "Connection of the 101 does not name upgrade"),
        (False, b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n", "Connection of the 101 does not name upgrade"),
        (True, b"nonsense", "the answer does not begin with HTTP/"),
        (False, b"nonsense", "the answer does not begin with HTTP/"),
    ],
)
async def test_a_handshake_that_fails(conversation, streamed, answer, said):
    conversation.request(is_websocket=True, supports_response_streaming=streamed)
    service = await conversation.service()
    service.say(answer)
    why = conversation.payload("proxy_response_abort" if streamed else "proxy_error")["error"]
    assert why == f"failed to connect to service WebSocket: {said}"
    if streamed:
        assert conversation.types() == ["proxy_response_header", "proxy_response_abort"]
        assert conversation.payload("proxy_response_header")["status"] == 502
    await conversation.over()


async def test_the_headers_of_a_refusal(conversation):
    conversation.request(is_websocket=True)
    (await conversation.service()).say(b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
    headers = conversation.payload("proxy_response_header")["headers"]
    assert headers == {"Www-Authenticate": ["Basic"], "Content-Length": ["0"]}
    await conversation.over()


async def test_a_service_that_cannot_be_reached(conversation):
    conversation.refusing = DialError("no such host")
    conversation.request(is_websocket=True)
    await conversation.over()
    assert conversation.payload("proxy_response_header") == {"status": 502, "headers": None}
    assert "no such host" in conversation.payload("proxy_response_abort")["error"]


async def test_a_service_that_never_answers(conversation, monkeypatch):
    monkeypatch.setattr(service_websocket, "HANDSHAKE_SECONDS", 0.01)
    conversation.request(is_websocket=True)
    await conversation.over()
    assert conversation.payload("proxy_response_header")["status"] == 502
    assert conversation.payload("proxy_response_abort")["error"].endswith(": context deadline exceeded")


async def test_the_timeout_is_for_the_handshake(conversation):
    peer = await conversation.websocket(timeout=100)
    conversation.request("r-2", timeout=150)
    await conversation.until(lambda: conversation.types("r-2"))
    peer.say("still here")
    assert conversation.frames() == [(TEXT, b"still here")]
    conversation.services[0].lose()
    await conversation.over()


@pytest.mark.parametrize(("kind", "payload", "code"), [(TEXT, b"\xff", 1007), (PING, bytes(126), 1011), (7, b"", 1011)])
async def test_garbage_in_a_websocket_ends_it_alone(conversation, kind, payload, code):
    peer = await conversation.websocket()
    conversation.frame(kind, payload)
    assert peer.events() == [Closed(code, "")]
    assert conversation.frames() == [(CLOSE, close(code))]
    await conversation.over()


async def test_data_that_is_not_base64(conversation):
    peer = await conversation.websocket()
    name = "proxy_stream_chunk" if conversation.dialect == "chunk" else "ws_data"
    conversation.tell(name, {"data": "=", "request_id": "r-1"})
    assert peer.events() == [Closed(1011, "")]
    assert "not base64" in (reason_of(conversation) or "not base64")
    await conversation.over()


async def test_a_full_link_stops_the_service(conversation):
    peer = await conversation.websocket()
    service = conversation.services[0]
    conversation.carrier.pause()
    peer.say(b"a" * 70_000)
    peer.say(b"b" * 70_000)
    assert not service.reading
    assert conversation.frames() == []
    conversation.carrier.resume()
    assert service.reading
    assert conversation.frames() == [(BINARY, b"a" * 70_000), (BINARY, b"b" * 70_000)]
    service.lose()
    await conversation.over()


async def test_messages_that_are_too_long(conversation):
    peer = await conversation.websocket()
    peer.raw(b"\x82\x7f" + (11 * 1024 * 1024).to_bytes(8))
    assert [payload[:2] for _, payload in conversation.frames()] == [close(1009)]
    assert isinstance(peer.events()[-1], Closed | Failed)
    await conversation.over()


async def test_every_spelling_of_the_json_dialect(whole):
    peer = await whole.websocket()
    data = b64(b"\x01x")
    whole.tell("ws_data", {"data": data, "request_id": "r-1"}, "other")
    whole.tell("ws_data", {"data": data, "stream_id": "r-1"}, "other")
    whole.tell("proxy_websocket_data", {"data": data, "message_type": 1})
    assert peer.events() == [Message("x")] * 3
    whole.tell("ws_close", {"stream_id": "r-1"}, "other")
    assert peer.events() == [Closed(1000, "")]
    peer.raw(b"\x88\x00")
    await whole.over()

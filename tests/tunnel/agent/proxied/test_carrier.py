"""The carrier: what a gateway may say, in what order, and how much."""

import json
import logging

import pytest

from tests.tunnel.agent.proxied.conversation import OVER, Conversation, b64
from tunnel.agent.carrier import CONTROL_WAITING_BYTES
from tunnel.agent.log import Quota
from tunnel.agent.proxied import carrier
from tunnel.agent.proxied.service_request import ServiceRequest
from tunnel.errors import TlsFailedError
from tunnel.wire import messages

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def works(conversation, request_id="well"):
    """Whether a request is served as ever."""
    number = len(conversation.services) + 1
    conversation.request(request_id)
    (await conversation.service(number)).say(OK)
    assert conversation.types(request_id) == [
        "proxy_response_header",
        "proxy_response_chunk",
        "proxy_response_end",
    ]


async def test_a_refused_exchange_says_how_many_lines_were_left_out(conversation, monkeypatch, caplog):
    monkeypatch.setattr(Quota, "take", lambda *_: 3)
    conversation.request(service_name="other")
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.getMessage().startswith("refused exchange to apps/other:80: ")
    assert not line.getMessage().endswith(")")
    assert line.suppressed == 3


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"service_name": ""}, "invalid service name: service_name is missing"),
        ({"namespace": ""}, "invalid namespace: namespace is missing"),
        ({"service_port": 0}, "invalid service port: service_port is missing"),
        ({"service_name": "UPPER"}, "service request failed: service or namespace is not a DNS label"),
        ({"service_name": "other"}, "service request failed: no --service entry and no --allow pattern names it"),
        ({"service_name": "kubernetes", "namespace": "default"}, "the Kubernetes API server is never reachable"),
        ({"path": "nowhere"}, "invalid path"),
        ({"query": "a b"}, "invalid query string"),
        ({"method": "CONNECT"}, "service request failed: the method"),
        ({"body": "?", "body_encoding": "base64"}, "invalid body: data is not base64"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_requests_that_are_refused(conversation, payload, said, streamed, caplog):
    conversation.request(supports_response_streaming=streamed, **payload)
    assert said in conversation.payload("proxy_response_abort" if streamed else "proxy_error")["error"]
    assert len(conversation.said) == 1
    assert conversation.services == []
    assert "refused exchange to" in caplog.text
    await conversation.over()
    await works(conversation)


async def test_a_websocket_without_a_route(conversation):
    conversation.request(is_websocket=True, service_name="")
    assert conversation.payload("proxy_response_abort") == {"error": "invalid service name: service_name is missing"}
    conversation.request("r-2", is_websocket=True, service_name="other")
    why = conversation.payload("proxy_response_abort", "r-2")["error"]
    assert why.startswith("failed to connect to service WebSocket: no --service entry")
    await conversation.over()


@pytest.mark.parametrize(
    "payload",
    [
        [],
        "text",
        {"method": 1},
        {"service_port": "80"},
        {"headers": []},
        {"headers": {"X": [1]}},
        {"timeout": "soon"},
        {"body": {}},
        {"streaming": "yes"},
    ],
)
async def test_requests_of_wrong_types_are_answered(conversation, payload):
    route = {"service_name": "web", "namespace": "apps", "service_port": 80}
    conversation.tell("proxy_request", {**route, **payload} if isinstance(payload, dict) else payload)
    assert conversation.payload("proxy_error")["error"].startswith("invalid request: ")
    assert len(conversation.carrier._exchanges) == 0
    await works(conversation)


async def test_requests_without_a_usable_id_are_noted(conversation):
    for request_id in (None, "", "x" * 129):
        conversation.request(request_id)
    assert set(conversation.notes) == {"proxy_request without a usable request_id"}
    assert conversation.said == conversation.services == []
    await works(conversation, "x" * 128)


async def test_an_id_is_one_exchange(conversation):
    conversation.request()
    service = await conversation.service()
    conversation.request()
    assert conversation.notes == ["proxy_request with the request_id of a running one"]
    service.say(OK)
    assert conversation.types() == ["proxy_response_header", "proxy_response_chunk", "proxy_response_end"]
    await conversation.over()
    assert len(conversation.services) == 1


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("proxy_request_chunk", {"data": "AAAA"}),
        ("proxy_request_stream_end", {}),
        ("proxy_cancel", None),
        ("proxy_websocket_data", {"data": "AQ=="}),
        ("ws_data", {"data": "AQ=="}),
        ("proxy_websocket_close", {}),
        ("ws_close", {}),
    ],
)
async def test_unknown_ids_are_noted(monkeypatch, kind, payload):
    conversation = Conversation(monkeypatch)
    assert conversation.tell(kind, payload, "nobody")
    assert conversation.tell(kind, payload, None)
    assert conversation.notes == [f"{kind} for none that is running"] * 2
    assert conversation.said == []


@pytest.mark.parametrize("kind", ["proxy_stream_chunk", "proxy_stream_close"])
async def test_unknown_ids_are_noted_in_the_chunk_dialect(monkeypatch, kind):
    conversation = Conversation(monkeypatch, "chunk")
    assert conversation.tell(kind, None, "nobody", data="AQ==", direction="to_agent")
    assert conversation.notes == [f"{kind} for none that is running"]


async def test_the_other_dialects_names_are_not_known(monkeypatch):
    assert not Conversation(monkeypatch, "json").tell("proxy_stream_chunk")
    assert not Conversation(monkeypatch, "chunk").tell("proxy_websocket_data")
    assert not Conversation(monkeypatch, "json").tell("proxy_stream_data")


async def test_what_came_from_an_agent_is_not_for_one(monkeypatch):
    conversation = Conversation(monkeypatch, "chunk")
    peer = await conversation.websocket()
    conversation.tell("proxy_stream_chunk", None, data=b64(b"\x01x"), direction="from_agent")
    conversation.tell("proxy_stream_chunk", {"data": b64(b"\x01in a payload"), "direction": "to_agent"})
    assert [event.data for event in peer.events()] == ["in a payload"]
    assert conversation.notes == ["proxy_stream_chunk that is not to_agent"]


async def test_messages_for_an_exchange_of_another_kind_are_noted(conversation):
    conversation.request()
    service = await conversation.service()
    conversation.frame(1, b"x")
    conversation.leave()
    service.say(OK)
    assert conversation.types()[-1] == "proxy_response_end"
    assert len(conversation.notes) == 2
    await conversation.over()
    conversation.notes.clear()
    conversation.request("r-2", is_websocket=True, streaming=True)
    await conversation.service(2)
    conversation.tell("proxy_request_chunk", {"data": b64(b"x")}, "r-2")
    conversation.tell("proxy_request_stream_end", {}, "r-2")
    assert len(conversation.notes) == 2
    assert conversation.types("r-2") == []
    conversation.tell("proxy_cancel", {}, "r-2")
    await conversation.over()


@pytest.mark.parametrize(("kind", "payload"), [("proxy_request_chunk", {"data": "="}), ("proxy_request_chunk", [1])])
async def test_an_upload_with_garbage_in_it_ends_by_name(conversation, kind, payload, caplog):
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    conversation.tell(kind, payload)
    assert conversation.payload("proxy_response_abort")["error"].startswith("service request failed: ")
    await conversation.over()
    assert service.aborted
    assert "message of the gateway dropped" in caplog.text
    await works(conversation)


async def test_a_fault_of_ours_ends_one_exchange(conversation, monkeypatch, caplog):
    def broken(self, data):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ServiceRequest, "body_data", broken)
    conversation.request(method="POST", streaming=True)
    await conversation.service()
    conversation.tell("proxy_request_chunk", {"data": b64(b"x")})
    assert conversation.payload("proxy_response_abort")["error"] == "service request failed: internal error"
    assert "a fault of ours" in caplog.text
    await conversation.over()
    await works(conversation)


async def test_there_are_only_so_many(conversation, monkeypatch):
    monkeypatch.setattr(carrier, "EXCHANGES_MAX", 2)
    for number in range(3):
        conversation.request(f"r-{number}")
    assert "2 exchanges are running" in conversation.payload("proxy_response_abort", "r-2")["error"]
    for number in (1, 2):
        (await conversation.service(number)).say(OK)
    await conversation.over()
    await works(conversation)


async def test_nothing_is_begun_while_too_much_is_held(conversation):
    conversation.account.adjust(conversation.account.high_mark_bytes + 1)
    conversation.request()
    assert "holds too much" in conversation.payload("proxy_response_abort")["error"]
    conversation.account.adjust(-conversation.account.held_bytes)
    await works(conversation)


async def test_draining(conversation, monkeypatch):
    monkeypatch.setattr(carrier, "LINGER_SECONDS", 60)
    conversation.request()
    service = await conversation.service()
    conversation.carrier.drain()
    conversation.request("r-2")  # it was on its way
    late = await conversation.service(2)
    service.say(OK)
    late.say(OK)
    assert (conversation.idles, conversation.leaving) == (0, 1)
    conversation.carrier._have_lingered()
    await conversation.until(lambda: conversation.idles)
    assert conversation.types()[-1] == "proxy_response_end"


async def test_draining_with_nothing_to_finish(conversation, monkeypatch):
    monkeypatch.setattr(carrier, "LINGER_SECONDS", 0.01)
    conversation.carrier.drain()
    await conversation.until(lambda: conversation.idles)


async def test_the_link_is_lost(conversation):
    await conversation.websocket()
    conversation.request("r-2", method="POST", streaming=True)
    service = await conversation.service(2)
    conversation.carrier.pause()
    service.say(OK[:-1])
    conversation.tell("proxy_request_chunk", {"data": b64(b"x")}, "r-2")
    said = len(conversation.said)
    conversation.carrier.drain()
    conversation.carrier.lost("link lost")
    assert [service.aborted for service in conversation.services] == [True, True]
    await conversation.over()
    assert len(conversation.said) == said
    assert conversation.idles == 0


async def test_binary_messages_are_noted(conversation):
    conversation.carrier.bytes_received(b"\x00\x01", 0.0)
    assert conversation.notes == [f"binary message in the {conversation.dialect} dialect"]


async def test_the_status_line(conversation, caplog):
    caplog.set_level(logging.DEBUG, "tunnel.agent")
    assert repr(conversation.carrier) == f"<MessageCarrier {conversation.dialect} 0 open>"
    conversation.request()
    assert repr(conversation.carrier) == f"<MessageCarrier {conversation.dialect} 1 open>"
    (await conversation.service()).say(OK)
    await conversation.over()
    assert "<ServiceRequest apps/web:80 over>" in caplog.text


async def test_messages_are_envelopes(conversation):
    conversation.request()
    (await conversation.service()).say(OK)
    for said in conversation.said:
        envelope = messages.decode_envelope(json.dumps(said))
        assert envelope.request_id == "r-1"
        assert said["timestamp"].endswith("Z")


async def test_a_fault_before_any_exchange_is_known(conversation, monkeypatch, caplog):
    def broken(self, envelope, request_id, kind):
        raise RuntimeError("a fault of ours")

    await conversation.websocket()
    monkeypatch.setattr(carrier.MessageCarrier, "_found", broken)
    conversation.frame(1, b"x")
    assert "a fault of ours" in caplog.text
    assert conversation.types()[-1] == OVER[conversation.dialect]
    await conversation.over()
    monkeypatch.undo()


async def test_a_fault_when_the_service_is_connected(conversation, monkeypatch, caplog):
    def broken(self, exchange):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ServiceRequest, "_opened", broken)
    conversation.request()
    await conversation.over()
    assert conversation.payload("proxy_response_abort")["error"] == "service request failed: internal error"
    assert "a fault of ours" in caplog.text
    assert conversation.services[0].aborted


async def test_tls_that_cannot_start(conversation, monkeypatch):
    def refuse(inner, context, server_hostname, *, account):
        assert server_hostname == "web.apps.svc.cluster.local"
        raise TlsFailedError("no such name")

    monkeypatch.setattr("tunnel.agent.proxied.exchange.TlsStream", refuse)
    conversation.request(scheme="https")
    await conversation.over()
    assert conversation.payload("proxy_response_abort")["error"] == "service request failed: no such name"
    assert conversation.services[0].aborted


async def test_status_lines_of_what_waits(conversation):
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    service.become_slow()
    conversation.tell("proxy_request_chunk", {"data": b64(b"first")})
    conversation.tell("proxy_request_chunk", {"data": b64(b"more")})
    conversation.tell("proxy_request_stream_end")
    exchange = conversation.carrier._exchanges["r-1"]
    assert repr(exchange) == "<ServiceRequest apps/web:80 open>"
    assert repr(exchange._backlog) == "<Backlog 4 bytes waiting, ended>"
    conversation.carrier.pause()
    service.say(OK)
    assert repr(conversation.carrier._queue) == "<SendQueue 1 exchanges wait>"
    assert repr(exchange._outgoing).startswith("<Outgoing ")
    conversation.carrier.drain()
    assert repr(conversation.carrier) == f"<MessageCarrier {conversation.dialect} 1 open draining>"
    conversation.carrier.lost("over")
    assert repr(conversation.carrier._queue) == "<SendQueue 0 exchanges wait>"
    await conversation.over()


async def test_one_long_message_may_stand_before_control_messages(conversation):
    limit = CONTROL_WAITING_BYTES + conversation.carrier.message_limit_bytes
    assert conversation.carrier.may_send_control(limit - 1)
    assert not conversation.carrier.may_send_control(limit)
    conversation.carrier.probe(0.0)
    conversation.carrier.flush()
    assert conversation.said == []

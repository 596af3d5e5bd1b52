"""HTTP through the json dialect: what the agent is asked, and what becomes of its answers."""

import gzip
import json
from typing import Any

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import TARGET, Stage, asked, conversation, encoded, frame, opened
from tunnel.errors import LinkLostError, NoAgentError, TlsFailedError, TunnelError
from tunnel.gateway.proxied.request import HTTP_TIMEOUT_MS
from tunnel.http1 import UnsendableHeadError
from tunnel.port import Target
from tunnel.wire.messages import MessageError


@conversation
async def test_a_request_as_the_agent_hears_it(stage: Stage):
    agent = stage.agent()
    fields = [
        (b"host", b"a.test"), (b"accept", b"text/html"), (b"cookie", b"a=1"), (b"x-two", b"1"), (b"x-two", b"2"),
        (b"connection", b"x-drop, close"), (b"x-drop", b"1"), (b"te", b"trailers"), (b"x-name", "é".encode()),
    ]  # fmt: skip
    exchange, _ = opened(agent, target=b"/a%20b/%C3%A9?q=%20&q=2", headers=fields)
    await quiet()
    message = agent.hear_one("proxy_request")
    assert len(message["request_id"]) == 32
    assert message["timestamp"].endswith("Z")
    assert message["payload"] == {
        "method": "GET",
        "path": "/a b/é",
        "query": "q=%20&q=2",
        "headers": {
            "Host": ["a.test"], "Accept": ["text/html"], "Cookie": ["a=1"], "X-Two": ["1", "2"], "X-Name": ["é"]
        },
        "service_name": "web",
        "namespace": "apps",
        "service_port": 8080,
        "scheme": "http",
        "supports_response_streaming": True,
        "timeout": HTTP_TIMEOUT_MS,
        "cluster_uuid": "c1",
    }  # fmt: skip
    exchange.reset()


@pytest.mark.parametrize(("dialect", "allowance"), [("json", 5.0), ("chunk", 0.0)])
@conversation
async def test_what_an_upstream_tells_of_its_link(stage: Stage, dialect: str, allowance: float):
    agent = stage.agent(dialect)
    agent.link.agent_id = None
    upstream = agent.carrier.upstream(TARGET)
    assert (upstream.label, upstream.agent_id) == (agent.link.name, None)
    assert (upstream.dialect, upstream.upgrade_allowance) == (dialect, allowance)
    agent.link.agent_id = "a1"
    assert upstream.agent_id == "a1"


@conversation
async def test_a_streamed_answer(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    agent.header(request_id, 201, Content_Length=["5"], Set_Cookie=["a=1", "b=2"], Connection="x-hop", X_Hop=["1"])
    agent.chunk(request_id, b"he")
    await quiet()
    assert sink.heads[0].headers == [(b"Content-Length", b"5"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    assert (sink.statuses, sink.body, sink.outcome) == ([201], b"he", "open")
    agent.chunk(request_id, b"")
    agent.chunk(request_id, b"llo")
    agent.end(request_id)
    await quiet()
    assert (sink.body, sink.outcome) == (b"hello", "end")
    assert sink.calls == ["head", "data", "data", "end"]
    exchange.reset()
    exchange.end()
    assert exchange.send_data(b"late") is True
    assert agent.hear() == []


@conversation
@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(stage: Stage, status: int):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.header(request_id, status, Content_Length=["10"])
    agent.end(request_id)
    await quiet()
    assert (sink.statuses, sink.outcome) == ([status], "end")
    assert sink.heads[0].headers == ([(b"Content-Length", b"10")] if status == 304 else [])


@conversation
async def test_head_keeps_its_length(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent, b"HEAD")
    agent.header(request_id, 200, Content_Length=["6"])
    agent.end(request_id)
    await quiet()
    assert (sink.heads[0].headers, sink.outcome) == ([(b"Content-Length", b"6")], "end")


@conversation
async def test_header_with_null_for_headers(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.say("proxy_response_header", request_id, {"status": 200, "headers": None})
    agent.end(request_id)
    await quiet()
    assert (sink.statuses, sink.heads[0].headers, sink.outcome) == ([200], [], "end")


TEXT = b"some text, again and again; " * 500


@conversation
@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ({"status": 200, "headers": {"Content-Length": "2"}, "body": encoded(b"hi"), "encoding": "base64"}, b"hi"),
        ({"status": 200, "headers": {"Content-Length": [str(len(TEXT))]}, "body": encoded(gzip.compress(TEXT, mtime=0)),
          "encoding": "gzip"}, TEXT),
        ({"status": 200, "headers": None, "body": "plain é"}, "plain é".encode()),
        ({"status": 200, "headers": {}}, b""),
        ({"status": 200, "headers": {"Content-Encoding": ["gzip"]}, "body": encoded(b"\x1f\x8bas it is"),
          "encoding": "BASE64"}, b"\x1f\x8bas it is"),
    ],
)  # fmt: skip
async def test_whole_answers(stage: Stage, payload: dict[str, Any], body: bytes):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.say("proxy_response", request_id, payload)
    await quiet()
    assert (sink.statuses, sink.body, sink.outcome) == ([200], body, "end")


PACKED = gzip.compress(TEXT, mtime=0)
PLAIN_TYPE = {"Content-Type": ["text/plain"]}


@conversation
@pytest.mark.parametrize(
    ("headers", "sent", "body"),
    [
        (PLAIN_TYPE | {"Content-Length": [str(len(TEXT))]}, PACKED, TEXT),
        (PLAIN_TYPE, PACKED, TEXT),
        (PLAIN_TYPE | {"Content-Length": [str(len(PACKED))]}, PACKED, PACKED),
        (PLAIN_TYPE | {"Content-Encoding": ["gzip"]}, PACKED, PACKED),
        (PLAIN_TYPE | {"Content-Encoding": ["gzip"], "Content-Length": [str(len(TEXT))]}, PACKED, TEXT),
        ({"Content-Type": ["application/octet-stream"], "Content-Length": [str(len(PACKED))]}, PACKED, PACKED),
        ({"Content-Type": ["application/gzip+json"]}, PACKED, PACKED),
        (PLAIN_TYPE | {"Content-Length": [str(len(TEXT))]}, TEXT, TEXT),
        (None, b"", b""),
    ],
)
async def test_binary_answers(stage: Stage, headers: Any, sent: bytes, body: bytes):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.carrier.bytes_received(frame(request_id, 200, headers, sent))
    await quiet()
    assert (sink.statuses, sink.body, sink.outcome) == ([200], body, "end")


@conversation
@pytest.mark.parametrize("size", [0, 1, 5, 30, 38, 41, 60])
async def test_binary_answers_cut_off(stage: Stage, size: int):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    whole = frame(request_id, 200, {"X-Long-Enough": ["to be cut off"]}, b"")
    with pytest.raises(MessageError):
        agent.carrier.bytes_received(whole[:size])
    agent.carrier.bytes_received(whole)
    await quiet()
    assert sink.outcome == "end"


@conversation
async def test_an_envelope_in_a_binary_message(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    payload = {"status": 404, "body": encoded(b"no"), "encoding": "base64"}
    agent.carrier.bytes_received(
        json.dumps({"type": "proxy_response", "request_id": request_id, "payload": payload}).encode()
    )
    agent.carrier.bytes_received(b'{"type": "heartbeat"}')
    await quiet()
    assert (sink.statuses, sink.body) == ([404], b"no")


@conversation
async def test_a_paused_sink_is_told_nothing(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    sink.on_call = lambda name: exchange.pause() if name in ("head", "data") else None
    agent.header(request_id)
    agent.chunk(request_id, b"one")
    agent.chunk(request_id, b"two")
    agent.end(request_id)
    await quiet()
    assert sink.calls == ["head"]
    assert exchange.held_bytes > 0
    assert stage.account.held_bytes == exchange.held_bytes
    for expected in (["head", "data"], ["head", "data", "data"], ["head", "data", "data", "end"]):
        exchange.resume()
        await quiet()
        assert sink.calls == expected


@conversation
async def test_a_slow_client_costs_only_its_own_exchange(stage: Stage, caplog: pytest.LogCaptureFixture):
    stage.shared = type(stage.shared)(
        account=stage.account, clock=stage.shared.clock, disk_bytes=0, file_bytes=0, max_message_bytes=1024
    )
    agent = stage.agent()
    slow_id, slow, slow_sink = await asked(agent)
    other_id, _, other = await asked(agent)
    slow.pause()
    agent.header(slow_id)
    for _ in range(9):
        agent.chunk(slow_id, bytes(32 * 1024))
    agent.header(other_id)
    agent.end(other_id)
    await quiet()
    assert (slow_sink.calls, slow_sink.outcome) == (["failed"], "NotReadError")
    assert other.outcome == "end"
    assert f"exchange {slow_id} is not read" in caplog.text
    assert agent.kinds() == ["proxy_cancel"]


@conversation
@pytest.mark.parametrize("call", ["head", "data", "end"])
async def test_a_sink_that_raises_costs_its_own_exchange(stage: Stage, caplog: pytest.LogCaptureFixture, call: str):
    stage.may_fail = True
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    other_id, _, other = await asked(agent)

    def fail(name: str) -> None:
        if name == call:
            sink._inside = False
            raise RuntimeError("the door's fault")

    sink.on_call = fail
    for each in (request_id, other_id):
        agent.header(each)
        agent.chunk(each, b"x")
        agent.end(each)
    await quiet()
    assert "the door's fault" in caplog.text
    assert other.outcome == "end"
    assert sink.outcome == ("end" if call == "end" else "ServiceBrokeOffError")


@conversation
@pytest.mark.parametrize("call", ["head", "data"])
async def test_a_reset_from_within_the_sink(stage: Stage, call: str):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    sink.on_call = lambda name: exchange.reset() if name == call else None
    agent.header(request_id)
    agent.chunk(request_id, b"x")
    agent.chunk(request_id, b"y")
    agent.end(request_id)
    await quiet()
    assert sink.calls == ["head", "data"][: 1 + (call == "data")]


@conversation
async def test_a_request_that_never_left_is_not_cancelled(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    exchange, _ = opened(agent)
    exchange.reset()
    exchange.reset()
    agent.reads = True
    assert agent.hear() == []


@conversation
async def test_a_request_that_was_given_up_is_cancelled(stage: Stage):
    agent = stage.agent()
    request_id, exchange, _ = await asked(agent)
    exchange.reset()
    assert agent.hear_one("proxy_cancel")["request_id"] == request_id


@conversation
@pytest.mark.parametrize(
    ("target", "error"),
    [
        (Target("c1", "apps", "web", 8443, "https"), TlsFailedError),
        (Target("c1", "", "web", 80), TunnelError),
        (Target("c1", "apps", "", 80), TunnelError),
        (Target("c1", "apps", "a.b", 80), TunnelError),
        (Target("c1", "apps", "web", 0), TunnelError),
        (Target("c2", "apps", "web", 80), TunnelError),
    ],
)
async def test_targets_that_cannot_be_reached_so(stage: Stage, target: Target, error: type[Exception]):
    agent = stage.agent()
    with pytest.raises(error):
        opened(agent, to=target)
    assert agent.hear() == []


@conversation
async def test_https_without_verification(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, to=Target("c1", "apps", "web", 8443, "https", verify=False))
    await quiet()
    assert agent.hear_one("proxy_request")["payload"]["scheme"] == "https"
    exchange.reset()


@conversation
async def test_a_lost_link_opens_nothing(stage: Stage):
    agent = stage.agent()
    agent.lose()
    with pytest.raises(LinkLostError):
        opened(agent)
    assert not issubclass(LinkLostError, NoAgentError)
    assert TARGET.cluster == agent.carrier.cluster


@conversation
async def test_a_bad_head_opens_nothing(stage: Stage):
    agent = stage.agent()
    for headers in ([(b"bad name", b"1")], [(b"Name", b"a\r\nb")], [(b"Name", b"\xff")]):
        with pytest.raises(UnsendableHeadError):
            opened(agent, headers=headers)
    assert agent.hear() == []

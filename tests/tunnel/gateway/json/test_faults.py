"""What goes wrong in a request through the json dialect: its own exchange ends, the rule is named, the rest goes on."""

import gzip
import logging
from typing import Any

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Stage, asked, conversation, encoded, frame
from tunnel.gateway.proxied.answer import HEAD_JSON_LIMIT_BYTES, HEAD_LIMIT_BYTES
from tunnel.wire.messages import MessageError


@conversation
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ('service request failed: Get "http://x": context deadline exceeded', "TooSlowError"),
        ("service request failed: dial tcp: connect: connection refused", "ServiceRefusedError"),
        ("service request failed: dial tcp: lookup web on 10.0.0.10:53: no such host", "NoSuchServiceError"),
        ("service request failed: dial tcp 10.0.0.7:80: i/o timeout", "ServiceSlowError"),
        ("service request failed: tls: failed to verify certificate: x509: unknown authority", "TlsFailedError"),
        ("service request failed: no --service entry and no --allow pattern names it", "ServiceNotAllowedError"),
        ("service request failed: request cancelled", "ServiceUnreachableError"),
        ('service request failed: Get "http://web/?q=tls:--allow": EOF', "ServiceUnreachableError"),
        ('service request failed: Post "http://web/": read tcp 10.0.0.7:80: i/o timeout', "ServiceUnreachableError"),
        ('service request failed: Get "http://web/a": dial tcp: connection refused', "ServiceRefusedError"),
        ("invalid service name: x", "ServiceUnreachableError"),
        ("control plane client unavailable", "ServiceUnreachableError"),
        ("", "ServiceUnreachableError"),
    ],
)
@pytest.mark.parametrize("kind", ["proxy_response_abort", "proxy_error"])
async def test_errors_before_the_answer(stage: Stage, kind: str, error: str, outcome: str):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.say(kind, request_id, {"error": error})
    await quiet()
    assert (sink.calls, sink.outcome) == (["failed"], outcome)
    assert agent.hear() == []  # the agent is done with it


@conversation
async def test_an_abort_breaks_the_answer_off_after_what_came(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.header(request_id, 200, Content_Length=["1000"])
    agent.chunk(request_id, b"partial")
    agent.abort(request_id, "unexpected EOF")
    await quiet()
    assert (sink.body, sink.outcome) == (b"partial", "ServiceBrokeOffError")
    assert "unexpected EOF" in str(sink.error)


@conversation
@pytest.mark.parametrize(
    ("said", "rule", "outcome"),
    [
        ([("proxy_response_chunk", {"data": "YQ=="})], "before the header", "BadAnswerError"),
        ([("proxy_response_end", {})], "before the header", "BadAnswerError"),
        ([("proxy_response_header", {"status": 200}), ("proxy_response_header", {"status": 200})], "second",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200}), ("proxy_response", {"status": 200})], "after a",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200}), ("proxy_response_chunk", {"data": "YQ"})], "base64",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200}), ("proxy_response_chunk", {"data": "a-_="})], "base64",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": "200"})], "payload", "BadAnswerError"),
        ([("proxy_response_header", {})], "payload", "BadAnswerError"),
        ([("proxy_response_header", [])], "payload", "BadAnswerError"),
        ([("proxy_response_header", {"status": 101})], "no final status", "BadAnswerError"),
        ([("proxy_response_header", {"status": 0})], "no final status", "BadAnswerError"),
        ([("proxy_response_header", {"status": 1000})], "no final status", "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"A B": ["1"]}})], "not a token", "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"A": ["1\r\nB: 2"]}})], "control characters",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"Ä": ["1"]}})], "cannot be encoded", "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"A": ["x" * 200_000]}})], "bytes of fields",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"Content-Length": ["1", "2"]}})], "more than one",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"Content-Length": ["-1"]}})], "not a valid number",
         "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"Content-Length": ["1"]}}),
          ("proxy_response_chunk", {"data": "YWI="})], "more body", "BadAnswerError"),
        ([("proxy_response_header", {"status": 200, "headers": {"Content-Length": ["3"]}}),
          ("proxy_response_chunk", {"data": "YWI="}), ("proxy_response_end", {})], "2 of 3", "ServiceBrokeOffError"),
        ([("proxy_response_header", {"status": 204}), ("proxy_response_chunk", {"data": "YWI="})], "none",
         "BadAnswerError"),
        ([("proxy_response", {"status": 200, "body": "YQ==", "encoding": "br"})], "encoding", "BadAnswerError"),
        ([("proxy_response", {"status": 200, "body": "YQ==", "encoding": "gzip"})], "gzip", "BadAnswerError"),
        ([("proxy_response", {"status": 200, "body": encoded(gzip.compress(b"text " * 500)[:-9]), "encoding": "gzip"})],
         "cut off", "BadAnswerError"),
        ([("proxy_websocket_data", {"data": "AWE="})], "no WebSocket", "BadAnswerError"),
        ([("backpressure", {})], "no WebSocket", "BadAnswerError"),
    ],
)  # fmt: skip
async def test_a_broken_rule_ends_its_own_exchange_and_is_named(
    stage: Stage, caplog: pytest.LogCaptureFixture, said: list[tuple[str, Any]], rule: str, outcome: str
):
    agent = stage.agent()
    other_id, _, other = await asked(agent)
    request_id, _, sink = await asked(agent)
    with caplog.at_level(logging.WARNING):
        for kind, payload in said:
            assert agent.say(kind, request_id, payload)
            await quiet()
    assert sink.outcome == outcome
    (record,) = caplog.records
    assert rule in record.getMessage()
    assert agent.carrier.name in record.getMessage()
    assert request_id in record.getMessage()
    agent.header(other_id)
    agent.end(other_id)
    await quiet()
    assert other.outcome == "end"


@conversation
async def test_messages_for_nobody_are_ignored_and_counted(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    exchange.reset()
    for kind in ("proxy_response_header", "proxy_response_chunk", "proxy_response_end", "proxy_response_abort",
                 "proxy_error", "proxy_response", "proxy_websocket_data", "ws_data", "backpressure"):  # fmt: skip
        assert agent.say(kind, request_id, {"status": 200})
    agent.carrier.bytes_received(frame("unknown", 200, {}, b"x"))
    await quiet()
    assert (agent.carrier.ignored, sink.calls) == (10, [])


@conversation
async def test_what_comes_after_the_end_is_for_nobody(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.header(request_id)
    agent.end(request_id)
    agent.chunk(request_id, b"late")
    agent.end(request_id)
    agent.say("proxy_response", request_id, {"status": 500})
    await quiet()
    assert (sink.statuses, sink.body, sink.outcome, agent.carrier.ignored) == ([200], b"", "end", 3)


@conversation
async def test_types_of_others_are_left_to_the_link(stage: Stage):
    agent = stage.agent()
    for kind in ("proxy_stream_chunk", "proxy_stream_close", "proxy_stream_data", "tcp_tunnel_data", "register", "x"):
        assert agent.say(kind, "1", {}) is False
    assert agent.carrier.ignored == 0


@conversation
@pytest.mark.parametrize("kind", ["proxy_response_end", "proxy_response", "proxy_websocket_data"])
async def test_messages_without_an_id_are_skipped(stage: Stage, kind: str):
    agent = stage.agent()
    with pytest.raises(MessageError, match="without a request_id"):
        agent.say(kind, None, {"status": 200, "data": ""})


@conversation
async def test_an_id_in_the_payload_will_do(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.say("proxy_error", None, {"request_id": request_id, "error": "service request failed: x"})
    await quiet()
    assert sink.outcome == "ServiceUnreachableError"


@conversation
async def test_an_answer_of_another_cluster_is_ignored(stage: Stage, caplog: pytest.LogCaptureFixture):
    agent, stranger = stage.agent(), stage.agent(cluster="c2")
    request_id, exchange, sink = await asked(agent)
    stranger.header(request_id)
    stranger.end(request_id)
    await quiet()
    assert sink.calls == []
    assert f"message for an exchange of {agent.carrier.name} ignored" in caplog.text
    exchange.reset()


@conversation
@pytest.mark.parametrize("kind", ["proxy_response_header", "proxy_response"])
async def test_fields_without_end_are_not_even_decoded(stage: Stage, kind: str, caplog: pytest.LogCaptureFixture):
    """300,000 of them would keep all other links waiting for half a second."""
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.say(kind, request_id, {"status": 200, "headers": {"A": [""] * HEAD_JSON_LIMIT_BYTES}})
    await quiet()
    assert sink.outcome == "BadAnswerError"
    assert f"bytes of fields, above {HEAD_JSON_LIMIT_BYTES}" in caplog.text
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_fields_without_end_in_a_binary_answer(stage: Stage):
    agent = stage.agent()
    request_id, exchange, _ = await asked(agent)
    with pytest.raises(MessageError, match=f"bytes of fields, above {HEAD_JSON_LIMIT_BYTES}"):
        agent.carrier.bytes_received(frame(request_id, 200, {"A": [""] * HEAD_JSON_LIMIT_BYTES}, b""))
    exchange.reset()


@conversation
async def test_what_separates_fields_counts_too(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.header(request_id, 200, **{f"A{number}": [""] for number in range(HEAD_LIMIT_BYTES // 9 + 1)})
    await quiet()
    assert sink.outcome == "BadAnswerError"
    assert f"more than {HEAD_LIMIT_BYTES} bytes" in str(sink.error)

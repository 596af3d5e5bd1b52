"""A link as a dialogue with its agent: joining, control messages, keep-alive, the end."""

import datetime
import json

import pytest

from tests.fakes.clock import Clock
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tests.tunnel.yamux.wire import live_streams
from tunnel.errors import LinkLostError, NoAgentError
from tunnel.gateway.link import LinkState
from tunnel.port import RequestHead, Target
from tunnel.wire.messages import ENVELOPE_LIMIT_BYTES
from tunnel.yamux import BATCH_BYTES, Parts

TARGET = Target("c1", "apps", "web", 80)


# --- joining


def test_hello_acknowledgement_ready():
    line = Line()
    assert repr(line.link).endswith(" c1 agent=None joining, 0 active>")
    line.greet()
    assert line.wakes == 1
    line.collect()
    (hello,) = line.texts
    assert hello["type"] == "gateway_hello"
    assert hello["payload"]["use_yamux"] is True
    config = hello["payload"]["yamux_config"]
    assert config["max_stream_window_size"] >= 262_144  # less, and the existing agent has no yamux at all
    assert 1 <= config["keep_alive_interval_seconds"] <= 10
    assert config["connection_timeout_seconds"] > config["keep_alive_interval_seconds"]
    assert datetime.datetime.fromisoformat(hello["timestamp"]).tzinfo is not None
    assert line.link.state is LinkState.JOINING
    assert not line.link.available
    with pytest.raises(NoAgentError):
        line.link.upstream(TARGET)
    line.acknowledge_hello()
    assert line.link.state is LinkState.READY
    assert line.link.available
    assert line.told == ["ready"]
    line.run()
    assert line.peer.pings == 4  # at once, and each answer asks for the next: the round trip steers the windows
    line.acknowledge_hello()
    assert line.told == ["ready"]
    assert line.kinds == ["gateway_hello"]  # once per connection


@pytest.mark.parametrize("payload", [{"use_yamux": False}, {}, None])
def test_an_agent_that_declines_is_not_ready(payload: object):
    line = Line()
    line.greet()
    line.say("gateway_hello_ack", payload)
    assert line.link.state is LinkState.JOINING
    assert line.told == []


def test_bytes_before_the_acknowledgement_are_skipped():
    line = Line()
    line.greet()
    line.link.bytes_received(b"\x00\x01\x02 junk that is no yamux")
    assert line.link.state is LinkState.JOINING
    line.acknowledge_hello()
    line.run()
    assert line.peer.pings == 4


def test_joining_takes_75_seconds_at_most():
    line = Line()
    line.greet()
    line.pass_time(74.5, answering=False)
    assert line.link.state is LinkState.JOINING
    line.pass_time(1.0, answering=False)
    assert line.link.state is LinkState.CLOSED
    assert line.link.close_code == 1008
    assert line.told == ["closed: registration timed out"]


# --- control messages


def test_a_heartbeat_names_the_agent_and_is_acknowledged():
    line = Line()
    line.beat("a1")
    line.beat("a1")
    line.beat("a2")
    line.collect()
    assert line.kinds == ["heartbeat_ack"] * 3
    assert line.told == ["identified a1"]
    assert line.link.agent_id == "a1"


@pytest.mark.parametrize("payload", [{}, {"agent_id": ""}, None])
def test_a_heartbeat_without_a_name(payload: object):
    line = Line()
    line.say("heartbeat", payload)
    line.collect()
    assert line.kinds == ["heartbeat_ack"]
    assert line.told == []


def test_a_heartbeat_never_reaches_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    line = Line()
    line.say("heartbeat", {"agent_id": "a1", "grafana_password": "t0p", "worker_join": {"commands": ["t0p"]}})
    line.say("heartbeat", {"agent_id": ["t0p"]})
    assert "t0p" not in caplog.text


@pytest.mark.parametrize("request_id", ["r1", None])
def test_ping_is_answered_with_the_same_id(request_id: str | None):
    line = Line()
    line.say("ping", {"timestamp": "x"}, request_id)
    line.collect()
    (pong,) = line.texts
    assert pong["type"] == "pong"
    assert pong.get("request_id") == request_id
    assert isinstance(pong["payload"], dict)


SKIPPED = [
    "", "not json", "[]", "1", "null", "{}", '{"payload": {}}', '{"type": 5}', '{"type": "ping", "request_id": 5}',
    '{"type": "heartbeat", "payload": []}', '{"type": "heartbeat", "payload": {"agent_id": 5}}', '{"type": "ping"',
    '{"type": "gateway_hello_ack", "payload": "yes"}',
    '{"type": "gateway_hello_ack", "payload": {"use_yamux": "true"}}',
    '{"type": "proxy_response", "request_id": "r-1", "payload": {"body": "x"}}', '{"type": "", "payload": {}}',
    '{"type": "protocol_fallback", "payload": {"unknown_type": "x"}}', '{"type": "pong", "payload": null}',
    '{"type": "error", "payload": {"error": "broken"}}', '{"type": "error", "payload": {"error": {"code": 1}}}',
    '{"type": "stream_refused", "payload": {"stream_id": 2, "reason": "no"}}', '{"type": "register", "payload": {}}',
    '{"type": "unknown", "payload": ' + "[" * 100_000 + "]" * 100_000 + "}", "\x00", "\ufffd" * 100,
]  # fmt: skip


@pytest.mark.parametrize("text", SKIPPED, ids=[text[:40] or "empty" for text in SKIPPED])
def test_what_cannot_be_understood_is_skipped(text: str):
    line = Line(ready=True)
    line.link.text_received(text)
    line.run()
    assert line.link.state is LinkState.READY
    assert line.told == []
    line.say("ping", {}, "still there")
    line.collect()
    assert line.texts[-1]["request_id"] == "still there"


def test_unknown_types_are_logged_once_and_not_without_end(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    line = Line()
    for _ in range(3):
        for number in range(50):
            line.say(f"type-{number}")
    assert len([record for record in caplog.records if "unknown message type" in record.getMessage()]) <= 16


@pytest.mark.parametrize(("size", "closed"), [(ENVELOPE_LIMIT_BYTES, False), (ENVELOPE_LIMIT_BYTES + 1, True)])
def test_an_oversize_text_closes(size: int, closed: bool):
    line = Line(ready=True)
    frame = '{"type":"unknown","payload":{"x":""}}'
    line.link.text_received(frame.replace('""', '"' + "x" * (size - len(frame)) + '"'))
    assert (line.link.state is LinkState.CLOSED) is closed
    assert line.link.close_code == (1009 if closed else None)


def test_an_agent_that_reads_nothing_is_closed():
    line = Line()
    for _ in range(256):
        line.say("ping")
    assert line.link.state is LinkState.JOINING
    line.say("ping")
    assert line.link.state is LinkState.CLOSED
    assert line.link.close_code == 1008


# --- what is sent


def test_texts_go_first_and_frames_in_pieces_of_64_kib():
    line = Line(ready=True)
    upstream = line.link.upstream(TARGET)
    for number in range(4):
        head = RequestHead(b"POST", b"/%d" % number, [(b"Host", b"a")], None)
        upstream.open(head, FakeSink()).send_data(b"x" * 40_000)
    line.say("ping")
    line.beat()
    first, second = line.link.next_message(), line.link.next_message()
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert [json.loads(first)["type"], json.loads(second)["type"]] == ["pong", "heartbeat_ack"]
    sizes = []
    while (message := line.link.next_message()) is not None:
        assert isinstance(message, bytes | Parts)
        sizes.append(len(message))
        line.peer.receive_bytes(bytes(message))
    assert max(sizes) <= BATCH_BYTES
    assert sum(sizes) > 160_000
    assert {len(stream.data) > 40_000 for stream in line.peer.streams.values()} == {True}
    line.link.lost("over")
    assert line.account.held_bytes == 0


def test_every_new_message_wakes_the_writer():
    line = Line(ready=True)
    for act in (
        lambda: line.say("ping"),
        line.link.probe,
        lambda: line.link.upstream(TARGET).open(_head(), _sink()),
        lambda: line.link.close(1000, "over"),
    ):
        line.run()
        line.wakes = 0
        act()
        assert line.wakes >= 1


def _head():
    return RequestHead(b"GET", b"/", [(b"Host", b"a")])


def _sink():
    return FakeSink()


# --- the yamux session


@pytest.mark.parametrize(
    "junk", [b"\xff" * 12, b"\x00\x09" + b"\x00" * 10, b"\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00"]
)
def test_a_protocol_error_closes_this_link_only(junk: bytes):
    clock = Clock()
    one, other = Line(clock=clock, ready=True), Line(clock=clock, ready=True)
    sink, safe = _sink(), _sink()
    one.link.upstream(TARGET).open(_head(), sink)
    other.link.upstream(TARGET).open(_head(), safe)
    one.run()
    other.run()
    one.link.bytes_received(junk)
    assert one.link.state is LinkState.CLOSED
    assert one.link.close_code == 1002
    assert isinstance(sink.error, LinkLostError)
    one.link.bytes_received(b"more")
    assert len(one.told) == 1
    other.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert other.link.state is LinkState.READY
    assert safe.outcome == "end"
    assert one.account.held_bytes == other.account.held_bytes == 0


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_go_away_takes_the_link_out_of_use(code: int):
    line = Line(ready=True)
    sink = _sink()
    line.link.upstream(TARGET).open(_head(), sink)
    line.run()
    line.peer.session.go_away(code)
    line.run()
    assert not line.link.available
    with pytest.raises((LinkLostError, NoAgentError)):
        line.link.upstream(TARGET).open(_head(), _sink())
    if code == 0:
        line.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert sink.outcome == "end"
    else:
        line.pass_time(15.0, answering=False)
        assert sink.outcome == "LinkLostError"


def test_a_stream_that_the_agent_opens_is_refused():
    line = Line(ready=True)
    stream_id = line.peer.session.open_stream()
    line.peer.session.send_data(stream_id, b"hello")
    line.run()
    assert line.link.state is LinkState.READY
    assert live_streams(line.peer.session) == 0
    assert line.account.held_bytes == 0


# --- doubt


def test_a_doubted_link_is_out_of_use_until_it_is_heard():
    line = Line(ready=True)
    line.link.doubt()
    assert not line.link.available
    line.run()
    assert line.link.available
    assert line.told == ["ready"]


def test_a_doubted_link_that_is_dead_is_given_up():
    line = Line(ready=True)
    line.link.doubt()
    line.pass_time(9.0, answering=False)
    assert line.link.state is LinkState.CLOSED
    assert not line.link.available


# --- the end


def test_the_end_is_told_once():
    line = Line(ready=True)
    sink = _sink()
    line.link.upstream(TARGET).open(_head(), sink)
    line.link.close(1012, "replaced")
    line.link.close(1001, "again")
    line.link.lost("gone")
    assert line.told == ["closed: replaced"]
    assert (line.link.close_code, line.link.close_reason) == (1012, "replaced")
    assert sink.outcome == "LinkLostError"
    assert line.link.next_message() is None
    line.say("ping")
    line.link.tick()
    line.link.probe()
    assert line.link.next_message() is None
    with pytest.raises(NoAgentError):
        line.link.upstream(TARGET)
    assert repr(line.link).endswith(" c1 agent=None closed, 0 active>")


def test_a_lost_websocket_has_no_close_code():
    line = Line(ready=True)
    line.link.lost("connection lost")
    assert line.link.close_code is None
    assert line.link.state is LinkState.CLOSED

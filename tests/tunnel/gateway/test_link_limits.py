"""What a link tells of its message limit, what it takes of the agent's word, and that it never sends more."""

import msgspec
import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tunnel.gateway.link import LinkState
from tunnel.port import RequestHead, Target
from tunnel.wire.message_limits import NO_LIMIT_BYTES
from tunnel.wire.messages import ENVELOPE_LIMIT_BYTES, Notice
from tunnel.yamux import BATCH_BYTES, Parts

TARGET = Target("c1", "apps", "web", 80)

WRONG = [b"-1", b"0", b"16383", b"1.5", b"true", b'"20000"', b"[]", b"{}", b"9" * 30]


def test_the_hello_tells_what_a_yamux_link_accepts():
    line = Line()
    line.greet()
    line.collect()
    assert line.texts[0]["payload"]["message_limit_bytes"] == ENVELOPE_LIMIT_BYTES


@pytest.mark.parametrize("value", WRONG)
def test_a_limit_that_cannot_be_one_is_ignored(value: bytes, caplog: pytest.LogCaptureFixture):
    line = Line(ready=True)
    line.link.agent_accepts(msgspec.Raw(value))
    assert line.link.agent_limit_bytes == NO_LIMIT_BYTES
    why = f"{value.decode()!r} is not a whole number from 16384 to 2^63 - 1"
    assert caplog.messages == [f"{line.link.name}: message_limit_bytes of the agent ignored: {why}"]
    assert line.link.state is LinkState.READY


@pytest.mark.parametrize("value", [b"null", b""])
def test_an_agent_that_tells_none(value: bytes, caplog: pytest.LogCaptureFixture):
    line = Line(ready=True)
    line.link.agent_accepts(msgspec.Raw(value))
    assert line.link.agent_limit_bytes == NO_LIMIT_BYTES
    assert caplog.messages == []


def test_no_control_message_above_the_limit_is_said(caplog: pytest.LogCaptureFixture):
    line = Line()
    line.link.agent_accepts(msgspec.Raw(b"16384"))
    line.link.send_text("error", Notice(error="x" * 16_384))
    line.link.send_text("error", Notice(error="x" * 16_000))
    line.collect()
    assert [len(text["payload"]["error"]) for text in line.texts] == [16_000]
    assert f"{line.link.name}: error left out: the agent accepts 16384 bytes" in caplog.messages
    assert line.link.state is LinkState.JOINING


@pytest.mark.parametrize("limit", [16_384, 16_385, 30_000, 65_535, 65_536, 1_048_576])
def test_yamux_is_cut_to_what_the_agent_accepts(limit: int):
    line = Line()
    line.link.agent_accepts(msgspec.Raw(b"%d" % limit))
    line.greet()
    line.collect()
    line.acknowledge_hello()
    for _ in range(3):
        head = RequestHead(b"POST", b"/", [(b"Host", b"a.test")], 100_000)
        line.link.upstream(TARGET).open(head, FakeSink()).send_data(b"b" * 100_000)
    sizes = []
    while (message := line.link.next_message()) is not None:
        assert isinstance(message, bytes | Parts)
        sizes.append(len(message))
        line.peer.receive_bytes(bytes(message))
    assert max(sizes) <= min(limit, BATCH_BYTES)
    assert max(sizes) > min(limit, BATCH_BYTES) - 2000, "and no smaller than it must be"
    assert [len(stream.data.partition(b"\r\n\r\n")[2]) for stream in line.peer.streams.values()] == [100_000] * 3

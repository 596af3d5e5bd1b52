"""What an agent says of itself is cut, or not repeated: it stands in logs, in metrics, and is sent back."""

import json

import pytest

from tests.tunnel.gateway.peer import Line
from tunnel.gateway.link import LinkState
from tunnel.wire.messages import NAME_LIMIT


@pytest.mark.parametrize("size", [1, NAME_LIMIT])
def test_a_ping_is_answered_with_its_id(size: int) -> None:
    line = Line(ready=True)
    line.say("ping", {}, "r" * size)
    line.collect()
    (pong,) = line.texts
    assert (pong["type"], pong["request_id"]) == ("pong", "r" * size)


def test_a_ping_with_a_longer_id_is_not_answered_and_does_no_harm() -> None:
    """It would be a way to have the gateway send a megabyte for every megabyte."""
    line = Line(ready=True)
    line.say("ping", {}, "r" * (NAME_LIMIT + 1))
    line.collect()
    assert line.texts == []
    assert line.link.state is LinkState.READY
    line.say("ping")
    line.collect()
    assert [text["type"] for text in line.texts] == ["pong"]


@pytest.mark.parametrize(
    ("size", "kept"), [(NAME_LIMIT, NAME_LIMIT), (NAME_LIMIT + 1, NAME_LIMIT), (500_000, NAME_LIMIT)]
)
def test_a_heartbeats_agent_id_is_cut(size: int, kept: int) -> None:
    line = Line(ready=True)
    line.beat("a" * size)
    line.collect()
    assert line.link.agent_id == "a" * kept
    assert line.told == [f"identified {'a' * kept}"]
    line.beat("a" * size)
    line.collect()
    assert line.told == [f"identified {'a' * kept}"], "it is the same agent still"
    assert [text["type"] for text in line.texts] == ["heartbeat_ack"] * 2
    assert all(len(json.dumps(text)) < 1_000 for text in line.texts)


def test_the_status_line_of_a_link_is_short(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    line = Line(ready=True)
    line.beat("a" * 500_000)
    line.say("k" * 500_000, {"x": "y" * 100_000})
    assert len(repr(line.link)) < 1_000
    assert all(len(record.getMessage()) < 1_000 for record in caplog.records)
    assert any("kkk" in record.getMessage() for record in caplog.records)

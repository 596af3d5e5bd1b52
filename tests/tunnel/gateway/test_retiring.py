"""A link that the operator drains: what runs ends by itself, nothing new begins, and then it is closed."""

import pytest

from tests.fakes.clock import Clock
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import LinkLostError
from tunnel.gateway.link import LinkState
from tunnel.port import RequestHead, Target

TARGET = Target("c1", "apps", "web", 80)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def head() -> RequestHead:
    return RequestHead(b"GET", b"/", [(b"host", b"web")])


def opened(line: Line) -> FakeSink:
    """An exchange on its way to the service."""
    sink = FakeSink()
    line.link.upstream(TARGET).open(head(), sink)
    line.run()
    return sink


def pass_time(line: Line, seconds: float) -> None:
    line.pass_time(seconds, answering=True)


def test_what_runs_ends_by_itself_and_then_the_link_is_closed():
    line = Line(ready=True)
    sink = opened(line)
    line.link.retire(60.0)
    assert not line.link.available
    pass_time(line, 20.0)
    assert line.link.state is LinkState.READY
    line.answer(ANSWER)
    assert sink.body == b"ok"
    pass_time(line, 0.5)
    assert (line.link.state, line.link.close_code) == (LinkState.CLOSED, 1012)
    assert line.told == ["closed: drained by the operator"]


def test_nothing_new_begins():
    line = Line(ready=True)
    opened(line)
    line.link.retire(60.0)
    with pytest.raises(LinkLostError):
        line.link.upstream(TARGET).open(head(), FakeSink())
    assert len(line.peer.streams) == 1


def test_a_connection_that_has_answered_is_not_kept():
    """An agent that stops waits for its streams: a kept one would hold it up for the seconds that it may be idle."""
    line = Line(ready=True)
    opened(line)
    line.link.retire(60.0)
    line.answer(ANSWER)
    line.run()
    assert line.stream()[1].ended or line.stream()[1].was_reset


def test_a_kept_connection_neither_takes_an_exchange_nor_keeps_the_link():
    line = Line(ready=True)
    opened(line)
    line.answer(ANSWER)
    assert line.link.figures().streams == 1, "it waits for the next request"
    line.link.retire(60.0)
    line.run()
    assert line.stream()[1].ended or line.stream()[1].was_reset
    pass_time(line, 0.5)
    assert line.link.close_code == 1012


@pytest.mark.parametrize("grace", [0.0, 3.0])
def test_after_the_grace_what_is_left_is_lost(grace: float):
    line = Line(ready=True)
    sink = opened(line)
    line.link.retire(grace)
    pass_time(line, grace - 0.5)
    assert sink.error is None
    pass_time(line, 0.5)
    assert line.link.close_code == 1012
    assert isinstance(sink.error, LinkLostError)


def test_another_grace_replaces_the_first():
    line = Line(ready=True)
    opened(line)
    line.link.retire(60.0)
    line.link.retire(1.0)
    pass_time(line, 1.5)
    assert line.link.close_code == 1012


def test_a_link_that_is_joining_is_closed():
    line = Line()
    line.greet()
    line.link.retire(60.0)
    pass_time(line, 0.5)
    assert line.link.close_code == 1012


def test_one_that_is_closed_already_stays_as_it_was():
    line = Line(ready=True)
    line.link.close(1008, "revoked")
    line.link.retire(1.0)
    pass_time(line, 5.0)
    assert (line.link.close_code, line.link.close_reason) == (1008, "revoked")


def test_its_registry_chooses_another_and_waits_for_a_successor_of_the_last():
    cluster = Cluster(grace=3.0)
    one, other = cluster.dial("a1"), cluster.dial("a2")
    cluster.clock.now += 60.0
    assert cluster.registry.seconds_of_grace("c1") == 0
    one.link.retire(60.0)
    assert cluster.registry.select("c1") is other.link
    other.link.retire(60.0)
    assert cluster.registry.seconds_of_grace("c1") > 0


def test_the_figures_of_a_link():
    line = Line(ready=True, clock=Clock())
    assert line.link.figures().streams == 0
    opened(line)
    figures = line.link.figures()
    assert (figures.streams, figures.window_bytes, figures.stalled_streams) == (1, 262_144, 0)
    assert figures.bytes_waiting == 0
    assert figures.round_trip_seconds == 0.0, "no time passed here"
    sink = FakeSink()
    upload = line.link.upstream(TARGET).open(RequestHead(b"PUT", b"/", [(b"host", b"web")], 10**6), sink)
    line.peer.acknowledges = False
    while upload.send_data(b"x" * 16_384):
        line.run()
    line.run()
    figures = line.link.figures()
    assert (figures.streams, figures.stalled_streams) == (2, 1)
    assert figures.bytes_waiting > 0

"""What a link returns to be sent, when it says that it has no more, and what it still says at its end."""

import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.peer import Line
from tunnel.port import RequestHead, Target
from tunnel.yamux import Limits, Parts

TARGET = Target("c1", "apps", "web", 8080)


def _head(method=b"GET", length=0):
    return RequestHead(method, b"/", [(b"Host", b"a")], length)


def test_the_last_message_is_known_as_the_last():
    line = Line(ready=True)
    for _ in range(4):
        head = _head(b"POST", None)
        line.link.upstream(TARGET).open(head, FakeSink()).send_data(b"x" * 40_000)
    line.say("ping")
    more = []
    while (message := line.link.next_message()) is not None:
        more.append((type(message), line.link.has_more))
    assert more == [(str, True), (Parts, True), (Parts, True), (Parts, False)]
    line.say("ping")
    assert line.link.next_message() is not None
    assert line.link.has_more, "a text says nothing about the frames"
    line.link.lost("over")


def test_more_control_frames_than_one_message_takes():
    line = Line(ready=True)
    for _ in range(6000):
        line.link.carrier.probe(0.0)
    more = []
    while (message := line.link.next_message()) is not None:
        more.append((len(message), line.link.has_more))
    assert more == [(65_496, True), (6_504, False)]
    line.link.lost("over")


def test_what_is_written_into_the_room_that_a_batch_made_is_more():
    line = Line(ready=True, limits=Limits(send_buffer_bytes=20_000))
    sink = FakeSink()
    head = _head(b"POST", None)
    exchange = line.link.upstream(TARGET).open(head, sink)
    while exchange.send_data(b"x" * 1000):
        pass
    welcome = []
    sink.on_call = lambda _: welcome.append(exchange.send_data(b"the rest"))
    assert line.link.next_message() is not None
    assert welcome == [True]
    assert line.link.has_more
    last = line.link.next_message()
    assert isinstance(last, bytes | Parts)
    assert bytes(last).endswith(b"the rest\r\n")
    assert not line.link.has_more
    line.link.lost("over")


@pytest.mark.parametrize("lost", [True, False])
def test_resets_are_sent_after_we_closed_the_link_and_not_after_it_is_lost(lost: bool):
    line = Line(ready=True)
    line.link.upstream(TARGET).open(_head(), FakeSink())
    line.run()
    if lost:
        line.link.lost("gone")
    else:
        line.link.close(1012, "replaced")
    line.run()
    assert line.stream()[1].was_reset is not lost

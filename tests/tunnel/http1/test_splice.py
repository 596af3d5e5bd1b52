"""A stream that is given away after a 101: what waited, what is to be acknowledged, and who ends the connection."""

import pytest

from tests.tunnel.http1.talk import Talk, cut
from tunnel.errors import LinkLostError, TunnelError
from tunnel.port import Spliced

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Owner:
    """Writes down what it is told, and acknowledges nothing."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def data_received(self, data: bytes, /) -> None:
        self.told.append(data)

    def end_received(self) -> None:
        self.told.append("end")

    def stream_lost(self, error: TunnelError, /) -> None:
        self.told.append(type(error).__name__)

    def stream_writable(self) -> None:
        self.told.append("writable")


def test_the_stream_has_another_owner_and_the_sink_hears_nothing_more() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED + b"early")
    owner = Owner()
    found = exchange.splice(owner)
    assert found is not None
    assert found == Spliced(talk.stream, talk.connection._owner, input_ended=False, waiting=b"", untaken_bytes=0)
    talk.stream.bring(b"one", b"two")
    talk.stream.owner.stream_writable()
    talk.stream.finish()
    assert owner.told == [b"one", b"two", "writable", "end"]
    assert (sink.calls, sink.body, talk.stream.unacknowledged) == (["head", "data"], b"early", 6)
    assert talk.fate == "new"


@pytest.mark.parametrize("size", [0, 1, 3])
def test_what_came_while_the_sink_paused_waits_for_the_owner(size: int) -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    sink.on_call = lambda called: exchange.pause() if called == "head" else None
    talk.stream.bring(SWITCHED + b"ab", *cut(b"cdef", size))
    found = exchange.splice(Owner())
    assert found is not None
    assert (sink.calls, found.waiting) == (["head"], b"abcdef")
    assert found.untaken_bytes == talk.stream.unacknowledged == len(SWITCHED) + 6
    talk.stream.acknowledge(found.untaken_bytes)


def test_what_the_sink_was_told_and_had_not_passed_on_is_the_owners_to_acknowledge() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    sink.on_call = lambda called: exchange.pause() if called == "data" else None
    talk.stream.bring(b"told", b"waits")
    found = exchange.splice(Owner())
    assert found is not None
    assert (sink.body, found.waiting, found.untaken_bytes) == (b"told", b"waits", 9)
    assert talk.stream.unacknowledged == 9


def test_a_service_that_has_ended_its_direction_is_known() -> None:
    for paused in (False, True):
        talk = Talk()
        exchange, sink = talk.open(upgrade=True)
        talk.stream.bring(SWITCHED)
        if paused:
            exchange.pause()
            talk.stream.bring(b"last")
        talk.stream.finish()
        found = exchange.splice(Owner())
        assert found is not None
        assert (found.input_ended, found.waiting) == (True, b"last" if paused else b"")
        assert ("end" in sink.calls) is not paused
        assert (talk.stream.state, talk.told) == ("open", [])


@pytest.mark.parametrize("how", ["asked", "answered", "refused", "reset", "lost", "over"])
def test_there_is_nothing_to_give(how: str) -> None:
    talk = Talk()
    exchange, _ = talk.open(upgrade=how != "answered")
    if how == "answered":
        talk.stream.bring(b"HTTP/1.1 200 OK\r\n\r\n")
    elif how == "refused":
        talk.stream.bring(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    elif how != "asked":
        talk.stream.bring(SWITCHED)
    if how == "reset":
        exchange.reset()
    elif how == "lost":
        talk.stream.lose(LinkLostError("gone"))
    elif how == "over":
        exchange.end()
        talk.stream.finish()
    owner = talk.stream.owner
    assert exchange.splice(Owner()) is None
    assert talk.stream.owner is owner


def test_the_exchange_is_over_for_its_door() -> None:
    talk = Talk()
    exchange, _ = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    assert exchange.splice(Owner()) is not None
    assert exchange.splice(Owner()) is None
    written = talk.stream.written
    assert exchange.send_data(b"x")
    exchange.pause()
    exchange.resume()
    exchange.end()
    exchange.reset()
    assert (talk.stream.written, talk.stream.state, talk.told, exchange.held_bytes) == (written, "open", [], 0)

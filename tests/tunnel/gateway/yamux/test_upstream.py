"""Exchanges over a link's yamux session, with the service played at the agent's end."""

import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.exchanges import OK, TARGET, line_of, opened
from tunnel.errors import LinkBusyError, LinkLostError
from tunnel.gateway.link import LinkState
from tunnel.gateway.yamux import YamuxUpstream
from tunnel.http1 import UnsendableHeadError
from tunnel.port import RequestHead, Target
from tunnel.yamux import Limits


def test_an_exchange():
    with line_of() as line:
        _, sink = opened(line, target=b"/hello?x=1")
        assert line.link.active == 1
        line.run()
        stream_id, stream = line.stream()
        assert stream_id == 2  # the gateway is the server: even ids
        assert str(stream.header) == "apps/web:8080"
        assert stream.data == b"GET /hello?x=1 HTTP/1.1\r\nHost: a.test\r\n\r\n"
        line.answer(OK)
        assert (sink.statuses, sink.body, sink.outcome) == ([200], b"ok", "end")
        assert line.link.active == 0


def test_what_an_upstream_tells_of_its_link():
    with line_of() as line:
        upstream = line.link.upstream(TARGET)
        assert (upstream.label, upstream.agent_id) == (line.link.name, None)
        assert (upstream.dialect, upstream.upgrade_allowance) == ("yamux", 0.0)
        line.beat("a1")
        assert upstream.agent_id == "a1"


def test_idle_connections_are_used_again_last_in_first_out():
    with line_of() as line:
        for _ in range(2):
            opened(line)
        line.run()
        line.answer(OK, 0)
        line.answer(OK, 1)
        assert repr(line.link.upstream(TARGET)) == "<YamuxUpstream c1/apps/web:8080: 0 busy, 2 idle>"
        _, sink = opened(line)
        line.run()
        assert len(line.peer.streams) == 2
        assert line.stream(1)[1].data.count(b"GET / ") == 2
        line.answer(OK, 1)
        assert sink.outcome == "end"


def test_a_fresh_one_is_asked_for():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        _, sink = opened(line, fresh=True)
        line.run()
        assert len(line.peer.streams) == 2
        line.answer(OK)
        assert sink.outcome == "end"


def test_targets_share_no_connection():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        other = Target("c1", "apps", "web", 8081)
        _, sink = opened(line, to=other)
        line.run()
        assert str(line.stream()[1].header) == "apps/web:8081"
        line.answer(OK)
        assert sink.outcome == "end"
        assert line.link.upstream(other) is line.link.upstream(other)
        assert line.link.upstream(other) is not line.link.upstream(TARGET)


def test_idle_connections_expire():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        line.pass_time(2.5, answering=True)
        assert len(line.link.carrier._streams) == 1
        line.pass_time(2.0, answering=True)
        assert len(line.link.carrier._streams) == 0
        assert line.stream()[1].was_reset or line.stream()[1].ended
        assert repr(line.link.upstream(TARGET)).endswith("0 busy, 0 idle>")


def test_a_request_that_must_not_be_repeated_takes_no_old_connection():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        line.clock.now += 1.5
        _, sink = opened(line, b"POST")
        line.run()
        assert len(line.peer.streams) == 2
        line.answer(OK)
        assert sink.outcome == "end"
        line.pass_time(5.0, answering=True)


def test_a_service_that_closes_its_idle_connection():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        line.answer(b"", end=True)
        assert line.stream()[1].ended  # its FIN is answered, or the existing agent keeps the stream for minutes
        assert len(line.link.carrier._streams) == 0


def test_a_lost_race_is_retryable():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        _, sink = opened(line)
        line.answer(b"", 0, end=True)  # it closed while the request was on its way
        assert sink.outcome == "StreamRefusedError"
        assert sink.error is not None
        assert sink.error.retryable
        _, again = opened(line, fresh=True)
        line.run()
        line.answer(OK)
        assert again.outcome == "end"


def test_a_refused_open_is_retryable():
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.peer.session.reset_stream(line.stream()[0])
        line.run()
        assert sink.outcome == "StreamRefusedError"
        assert sink.error is not None
        assert sink.error.retryable


def test_a_refused_dial():
    """The existing agent's way to say that nobody listens: an ACK, then a FIN without a byte."""
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.answer(b"", end=True)
        assert sink.outcome == "ServiceUnreachableError"
        assert line.stream()[1].ended
        assert len(line.link.carrier._streams) == 0


@pytest.mark.parametrize("how", ["reset", "lost"])
def test_half_an_answer_is_never_retryable(how: str):
    with line_of() as line:
        _, sink = opened(line)
        line.run()
        line.answer(b"HTTP/1.1 20")
        if how == "reset":
            line.peer.session.reset_stream(line.stream()[0])
            line.run()
        else:
            line.link.lost("gone")
        assert sink.error is not None
        assert not sink.error.retryable


def test_the_link_is_lost():
    with line_of() as line:
        sinks = [opened(line, b"POST", length=None) for _ in range(3)]
        for exchange, _ in sinks:
            exchange.send_data(b"x" * 100_000)
        line.run()
        line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        sinks[-1][0].pause()
        line.answer(b"more")
        line.link.lost("gone")
        assert [sink.outcome for _, sink in sinks] == ["LinkLostError"] * 3
        assert line.account.held_bytes == 0
        for exchange, _ in sinks:
            assert exchange.send_data(b"late")
            exchange.end()
            exchange.resume()
            exchange.reset()


# --- refusals of ours


@pytest.mark.parametrize(
    "head",
    [
        RequestHead(b"CONNECT", b"/", []),
        RequestHead(b"GET", b"/ x", []),
        RequestHead(b"GET", b"/", [(b"A", b"1\r\nB: 2")]),
        RequestHead(b"GET", b"/", [(b"A b", b"1")]),
    ],
)
def test_a_head_that_must_not_be_sent_costs_nothing(head: RequestHead):
    with line_of() as line:
        sink = FakeSink()
        with pytest.raises(UnsendableHeadError):
            line.link.upstream(TARGET).open(head, sink)
        assert sink.calls == []
        assert line.link.active == 0
        assert len(line.link.carrier._streams) == 0
        line.run()
        _, sink = opened(line)
        line.run()
        line.answer(OK)
        assert sink.outcome == "end"


def test_no_room_for_another_stream():
    with line_of(Limits(max_streams=2)) as line:
        first, second = opened(line)[0], opened(line)[0]
        with pytest.raises(LinkBusyError) as caught:
            opened(line)
        assert caught.value.retryable
        assert line.link.active == 2
        first.reset()
        line.run()
        third, _ = opened(line)
        for exchange in (second, third):
            exchange.reset()


# --- upgrades


def test_after_a_101_bytes_pass_both_ways():
    with line_of() as line:
        exchange, sink = opened(line, upgrade=True)
        line.run()
        line.answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
        assert (sink.statuses, sink.body) == ([101], b"first")
        exchange.send_data(b"\x81\x00")
        line.run()
        assert line.stream()[1].data.endswith(b"\r\n\r\n\x81\x00")
        line.answer(b"last", end=True)
        assert (sink.body, sink.outcome) == (b"firstlast", "end")
        exchange.end()
        line.run()
        assert line.stream()[1].ended


def test_an_upgrade_never_takes_an_idle_connection():
    with line_of() as line:
        opened(line)
        line.run()
        line.answer(OK)
        exchange, _ = opened(line, upgrade=True)
        line.run()
        assert len(line.peer.streams) == 2
        exchange.reset()


# --- faults of one owner


class Faulty(FakeSink):
    """A sink with a fault of its own."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def _called(self, name: str) -> None:
        super()._called(name)
        if name == self._at:
            raise ZeroDivisionError


@pytest.mark.parametrize("at", ["head", "data", "end", "failed"])
def test_a_fault_of_one_sink_costs_its_stream_only(at: str, caplog: pytest.LogCaptureFixture):
    with line_of() as line:
        opened(line, sink=Faulty(at))
        _, sink = opened(line)
        line.run()
        if at == "failed":
            line.peer.session.reset_stream(line.stream(0)[0])
            line.run()
        else:
            line.answer(OK, 0)
        assert line.link.state is LinkState.READY
        line.answer(OK, 1)
        assert sink.outcome == "end"
        assert "ZeroDivisionError" in caplog.text


def test_a_fault_of_one_sink_does_not_keep_the_loss_from_the_others():
    with line_of() as line:
        opened(line, sink=Faulty("failed"))
        _, sink = opened(line)
        line.run()
        line.link.close(1012, "over")
        assert isinstance(sink.error, LinkLostError)
        assert line.told == ["closed: over"]


def test_reprs_are_status_lines():
    with line_of() as line:
        exchange, _ = opened(line)
        line.run()
        upstream = line.link.upstream(TARGET)
        assert isinstance(upstream, YamuxUpstream)
        assert repr(upstream) == "<YamuxUpstream c1/apps/web:8080: 1 busy, 0 idle>"
        assert repr(line.link.carrier).startswith("<YamuxCarrier 1 active, <Session server, open, 1 streams")
        assert repr(line.account).startswith("<Account 0 of ")
        exchange.reset()


# --- what a service must not do to others


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ],
)
def test_a_late_body_where_none_may_be_reaches_nobody(method: bytes, answer: bytes):
    with line_of() as line:
        _, sink = opened(line, method)
        line.run()
        line.answer(answer, 0)
        assert sink.outcome == "end"
        _, other = opened(line)
        line.run()
        assert len(line.peer.streams) == 2
        line.answer(OK, 1)
        assert (other.body, other.outcome) == (b"ok", "end")
        assert line.stream(0)[1].was_reset


def test_an_answer_to_head_that_announces_nothing_leaves_its_connection_fit():
    with line_of() as line:
        opened(line, b"HEAD")
        line.run()
        line.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        opened(line)[0]
        line.run()
        assert len(line.peer.streams) == 1
        line.answer(OK)


def test_a_head_of_too_many_fields_costs_its_stream_only():
    with line_of() as line:
        _, sink = opened(line)
        _, other = opened(line)
        line.run()
        line.answer(b"HTTP/1.1 200 OK\r\n" + b"Connection: ,,,,\r\n" * 2400 + b"Content-Length: 0\r\n\r\n", 0)
        assert sink.outcome == "BadAnswerError"
        line.answer(OK, 1)
        assert other.outcome == "end"

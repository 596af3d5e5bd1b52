"""Upgrades: after a 101 the stream is the upgraded protocol's, in both directions."""

import pytest

from tests.tunnel.http1.talk import Talk, cut
from tunnel.errors import LinkLostError

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, 3])
def test_after_a_101_bytes_pass_as_they_are_both_ways(size: int) -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    exchange.end()  # the handshake's, not ours: it has no body
    head = talk.stream.written
    raw = b"\x81\x05hello\r\n\r\nHTTP/1.1 200 OK\r\n"
    talk.stream.bring(*cut(SWITCHED + raw, size))
    assert sink.statuses == [101]
    assert sink.heads[0].headers == [(b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"X-A", b"b")]
    assert (sink.body, sink.outcome, talk.stream.unacknowledged) == (raw, "open", 0)
    assert exchange.send_data(b"\x00\r\n")
    assert talk.stream.written == head + b"\x00\r\n"
    talk.stream.is_writable = False
    assert not exchange.send_data(b"x")
    talk.stream.owner.stream_writable()
    assert sink.calls[-1] == "writable"


def test_a_101_without_its_fields_is_the_doors_to_judge() -> None:
    talk = Talk()
    _, sink = talk.open(upgrade=True)
    talk.stream.bring(b"HTTP/1.1 101 Switching\r\n\r\nx")
    assert (sink.statuses, sink.body, sink.outcome) == ([101], b"x", "open")


@pytest.mark.parametrize("first", ["service", "door"])
def test_an_upgraded_stream_is_over_when_both_directions_are(first: str) -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    if first == "service":
        talk.stream.finish()
        assert (sink.calls, talk.told, talk.stream.state) == (["head", "end"], [], "open")
        talk.stream.is_writable = False
        assert exchange.send_data(b"bye")
        talk.stream.owner.stream_writable()
        exchange.end()
        assert talk.stream.written.endswith(b"bye")
    else:
        exchange.end()
        assert (sink.calls, talk.told, talk.stream.state) == (["head"], [], "ended")
        talk.stream.bring(b"bye")
        talk.stream.finish()
        assert sink.body == b"bye"
    assert (sink.outcome, talk.told, talk.stream.state) == ("end", ["closed"], "ended")
    assert talk.stream.unacknowledged == 0


@pytest.mark.parametrize("how", ["reset", "lose"])
def test_the_sink_hears_nothing_after_the_end_of_an_upgraded_stream(how: str) -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    talk.stream.finish()
    if how == "reset":
        exchange.reset()
    else:
        talk.stream.lose(LinkLostError("gone"))
    assert (sink.calls, talk.told) == (["head", "end"], ["closed"])
    assert exchange.send_data(b"x")


def test_an_upgraded_stream_that_is_lost_fails() -> None:
    talk = Talk()
    _, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED + b"x")
    talk.stream.lose(LinkLostError("gone"))
    assert (sink.outcome, talk.told) == ("LinkLostError", ["closed"])


def test_bytes_behind_a_101_wait_while_the_sink_pauses() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    sink.on_call = lambda called: exchange.pause() if called == "head" else None
    talk.stream.bring(SWITCHED + b"ab", b"c")
    talk.stream.finish()
    assert (sink.calls, talk.stream.acknowledged) == (["head"], 0)
    exchange.resume()
    assert (sink.calls, sink.body, talk.stream.unacknowledged) == (["head", "data", "data", "end"], b"abc", 0)


def test_a_sink_that_pauses_at_its_data_keeps_the_credit() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED, b"a")
    sink.on_call = lambda called: exchange.pause() if called == "data" else None
    talk.stream.bring(b"bc", b"d")
    assert (sink.body, talk.stream.unacknowledged) == (b"abc", 3)
    sink.on_call = None
    exchange.resume()
    assert (sink.body, talk.stream.unacknowledged) == (b"abcd", 0)


def test_a_sink_that_pauses_and_resumes_at_its_data_is_given_the_next_after_it() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)

    def stop_and_go(_: str) -> None:
        exchange.pause()
        exchange.resume()

    sink.on_call = stop_and_go
    talk.stream.bring(b"a", b"b")
    assert (sink.body, talk.stream.unacknowledged) == (b"ab", 0)


def test_a_sink_that_resets_at_its_data_leaves_nothing_behind() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    sink.on_call = lambda _: exchange.reset()
    talk.stream.bring(b"abc", b"d")
    assert (sink.body, talk.stream.unacknowledged, talk.stream.state) == (b"abc", 0, "reset")
    assert talk.told == ["closed"]


def test_the_loss_of_an_upgraded_stream_after_its_end_is_no_news() -> None:
    talk = Talk()
    exchange, sink = talk.open(upgrade=True)
    talk.stream.bring(SWITCHED)
    exchange.end()
    talk.stream.finish()
    talk.stream.lose(LinkLostError("gone"))
    assert (sink.calls, talk.told) == (["head", "end"], ["closed"])


def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    talk = Talk()
    _, sink = talk.open(upgrade=True)
    talk.stream.bring(b"HTTP/1.1 403 No\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno")
    assert (sink.statuses, sink.body, sink.outcome, talk.told) == ([403], b"no", "end", ["idle"])


def test_a_100_may_come_before_a_101() -> None:
    talk = Talk()
    _, sink = talk.open(upgrade=True)
    talk.stream.bring(b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCHED + b"x")
    assert (sink.statuses, sink.body) == ([100, 101], b"x")

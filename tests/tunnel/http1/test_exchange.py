"""What door and exchange say to each other while an answer comes: pauses, uploads, resets."""

from collections.abc import Callable

import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk, cut
from tunnel.errors import LinkLostError, StreamRefusedError
from tunnel.port import Exchange

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def pause_on(name: str, exchange: Exchange, sink: FakeSink) -> None:
    sink.on_call = lambda called: exchange.pause() if called == name else None


# --- pause, resume and credit


def test_what_was_taken_without_a_pause_is_acknowledged_at_once() -> None:
    talk = Talk()
    _, sink = talk.open()
    for piece in cut(CHUNKED + b"5\r\nhello\r\n5;a=b\r\nworld\r\n0\r\nA: b\r\n\r\n", 1):
        talk.stream.bring(piece)
        assert talk.stream.unacknowledged == 0
    assert (sink.outcome, talk.stream.acknowledged) == ("end", talk.stream.received)


def test_nothing_is_delivered_or_acknowledged_while_paused() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    head, body = HELLO[:-5], HELLO[-5:]
    talk.stream.bring(head)
    exchange.pause()
    talk.stream.bring(body[:2], body[2:])
    talk.stream.finish()
    assert (sink.calls, talk.stream.acknowledged) == (["head"], len(head))
    exchange.resume()
    assert (sink.calls, sink.body, talk.stream.unacknowledged) == (["head", "data", "data", "end"], b"hello", 0)
    assert (talk.told, talk.stream.state) == (["closed"], "ended")


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("head", ["head"], ["data", "trailers", "end"]),
        ("data", ["head", "data"], ["trailers", "end"]),
        ("trailers", ["head", "data", "trailers"], ["end"]),
    ],
)
def test_a_pause_from_within_the_sink_holds_what_follows(name: str, before: list[str], after: list[str]) -> None:
    talk = Talk()
    exchange, sink = talk.open()
    pause_on(name, exchange, sink)
    talk.stream.bring(CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n")
    assert (sink.calls, talk.stream.acknowledged, talk.told) == (before, 0, [])
    sink.on_call = None
    exchange.resume()
    assert (sink.calls, talk.stream.unacknowledged, talk.told) == (before + after, 0, ["idle"])


def test_what_came_before_a_pause_is_acknowledged_on_resume() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    pause_on("data", exchange, sink)
    start = OK + b"Content-Length: 10\r\n\r\nhello"
    talk.stream.bring(start)
    talk.stream.bring(b"wo")
    assert talk.stream.acknowledged == 0
    exchange.resume()
    assert (sink.body, talk.stream.unacknowledged) == (b"hellowo", 2)
    exchange.resume()
    assert talk.stream.unacknowledged == 0
    talk.stream.bring(b"rld")
    assert (sink.outcome, talk.stream.unacknowledged) == ("open", 3)
    exchange.resume()
    assert (sink.outcome, sink.body, talk.stream.unacknowledged) == ("end", b"helloworld", 0)


def test_a_pause_that_the_sink_takes_back_itself_is_none() -> None:
    talk = Talk()
    exchange, sink = talk.open()

    def waver(name: str) -> None:
        exchange.pause()
        exchange.resume()

    sink.on_call = waver
    talk.stream.bring(CHUNKED + b"5\r\nhello\r\n", b"5\r\nworld\r\n0\r\n\r\n")
    assert (sink.calls, sink.body, talk.stream.unacknowledged) == (["head", "data", "data", "end"], b"helloworld", 0)


def test_the_end_by_the_stream_waits_for_resume() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    talk.stream.bring(OK + b"\r\nhello")
    exchange.pause()
    talk.stream.finish()
    assert sink.outcome == "open"
    exchange.resume()
    assert (sink.outcome, talk.told, talk.stream.state) == ("end", ["closed"], "ended")


def test_a_lost_stream_is_told_at_once_even_while_paused() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    talk.stream.bring(HELLO[:-5])
    exchange.pause()
    talk.stream.bring(b"hel")
    talk.stream.lose(LinkLostError("gone"))
    assert (sink.calls, type(sink.error)) == (["head", "failed"], LinkLostError)
    assert (talk.told, talk.stream.unacknowledged) == (["closed"], 0)


def test_a_malformed_piece_held_by_a_pause_fails_on_resume() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    pause_on("data", exchange, sink)
    talk.stream.bring(CHUNKED + b"5\r\nhello\r\n", b"oh", b"no")
    assert sink.outcome == "open"
    exchange.resume()
    assert (sink.outcome, talk.stream.state, talk.stream.unacknowledged) == ("BadAnswerError", "reset", 0)


# --- uploads


def test_writable_is_passed_on_once_to_who_was_told_to_wait() -> None:
    talk = Talk()
    exchange, sink = talk.open(b"POST", body_length=10)
    talk.stream.owner.stream_writable()
    assert sink.calls == []
    talk.stream.is_writable = False
    assert not exchange.send_data(b"hello")
    talk.stream.is_writable = True
    talk.stream.owner.stream_writable()
    talk.stream.owner.stream_writable()
    assert sink.calls == ["writable"]
    assert exchange.send_data(b"world")


def test_writable_is_not_passed_on_when_all_is_over() -> None:
    talk = Talk()
    exchange, sink = talk.open(b"POST", body_length=5)
    talk.stream.is_writable = False
    assert not exchange.send_data(b"hello")
    talk.stream.bring(HELLO)
    talk.stream.owner.stream_writable()
    assert (sink.calls, talk.told) == (["head", "data", "end"], ["idle"])
    exchange, sink = talk.open()
    talk.stream.owner.stream_writable()
    assert sink.calls == []


@pytest.mark.parametrize("body_length", [10, None])
def test_an_early_answer_is_delivered_and_the_upload_broken_off(body_length: int | None) -> None:
    talk = Talk()
    exchange, sink = talk.open(b"POST", body_length=body_length)
    exchange.send_data(b"hello")
    talk.stream.bring(HELLO[:-1])
    assert exchange.send_data(b"wor")
    assert talk.stream.state == "open"
    talk.stream.bring(HELLO[-1:])
    assert (sink.outcome, sink.body) == ("end", b"hello")
    assert (talk.told, talk.stream.state) == (["closed"], "reset")
    assert exchange.send_data(b"much too much")
    exchange.end()


def test_an_answer_by_the_streams_end_breaks_off_the_upload_too() -> None:
    talk = Talk()
    _, sink = talk.open(b"POST", body_length=10)
    talk.stream.bring(OK + b"\r\nhello")
    talk.stream.finish()
    assert (sink.outcome, talk.told, talk.stream.state) == ("end", ["closed"], "reset")


def test_an_upload_that_ends_during_the_answer_leaves_the_connection_fit() -> None:
    talk = Talk()
    exchange, sink = talk.open(b"POST", body_length=None)
    exchange.send_data(b"hello")
    talk.stream.bring(HELLO[:-1])
    exchange.end()
    talk.stream.bring(HELLO[-1:])
    assert (sink.outcome, talk.told) == ("end", ["idle"])


def test_the_door_waits_for_a_100_before_it_sends_the_body() -> None:
    talk = Talk()
    fields = [(b"Host", b"a.test"), (b"Expect", b"100-continue"), (b"Content-Length", b"5")]
    exchange, sink = talk.open(b"PUT", headers=fields, body_length=5)
    assert b"Expect: 100-continue\r\n" in talk.stream.written
    talk.stream.bring(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert sink.statuses == [100]
    exchange.send_data(b"hello")
    exchange.end()
    talk.stream.bring(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    assert (sink.statuses, sink.outcome, talk.told) == ([100, 201], "end", ["idle"])


def test_a_refusal_instead_of_a_100_ends_the_exchange() -> None:
    talk = Talk()
    _, sink = talk.open(b"PUT", body_length=5)
    talk.stream.bring(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
    assert (sink.statuses, sink.outcome, talk.stream.state) == ([417], "end", "reset")


# --- reset


@pytest.mark.parametrize("name", ["head", "data", "trailers"])
def test_a_reset_from_within_the_sink_is_the_last_it_hears(name: str) -> None:
    talk = Talk()
    exchange, sink = talk.open()
    sink.on_call = lambda called: exchange.reset() if called == name else None
    talk.stream.bring(CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n\r\n")
    assert (sink.calls[-1], talk.told, talk.stream.state) == (name, ["closed"], "reset")
    assert talk.stream.unacknowledged == 0


def test_a_reset_while_paused_acknowledges_what_was_held() -> None:
    talk = Talk()
    exchange, sink = talk.open()
    pause_on("head", exchange, sink)
    talk.stream.bring(HELLO[:-2], HELLO[-2:])
    exchange.reset()
    exchange.resume()
    assert (sink.calls, talk.stream.unacknowledged, talk.stream.was_reset) == (["head"], 0, 1)


def finished(talk: Talk) -> tuple[Exchange, FakeSink]:
    exchange, sink = talk.open(b"POST", body_length=5)
    exchange.send_data(b"hello")
    talk.stream.bring(HELLO)
    return exchange, sink


def was_reset(talk: Talk) -> tuple[Exchange, FakeSink]:
    exchange, sink = talk.open(b"POST", body_length=5)
    exchange.reset()
    return exchange, sink


def failed(talk: Talk) -> tuple[Exchange, FakeSink]:
    exchange, sink = talk.open(b"POST", body_length=5)
    talk.stream.bring(b"garbage")
    return exchange, sink


def lost(talk: Talk) -> tuple[Exchange, FakeSink]:
    exchange, sink = talk.open(b"POST", body_length=5)
    talk.stream.lose(StreamRefusedError("reset"))
    return exchange, sink


@pytest.mark.parametrize("make", [finished, was_reset, failed, lost])
def test_an_exchange_that_is_over_does_nothing(make: Callable[[Talk], tuple[Exchange, FakeSink]]) -> None:
    talk = Talk()
    exchange, sink = make(talk)
    before = (list(sink.calls), list(talk.told), talk.stream.state, talk.stream.written, talk.stream.was_reset)
    assert exchange.send_data(b"more than was announced")
    exchange.end()
    exchange.pause()
    exchange.resume()
    exchange.reset()
    exchange.reset()
    assert (sink.calls, talk.told, talk.stream.state, talk.stream.written, talk.stream.was_reset) == before
    assert repr(exchange).startswith("<StreamExchange over")


def test_an_exchange_that_is_over_does_not_touch_its_successor() -> None:
    talk = Talk()
    first, _ = finished(talk)
    _, sink = talk.open()
    first.pause()
    first.reset()
    first.send_data(b"stray")
    talk.stream.bring(HELLO)
    assert (sink.outcome, talk.told, talk.stream.state) == ("end", ["idle", "idle"], "open")
    assert b"stray" not in talk.stream.written


def test_the_next_exchange_may_begin_within_the_end_of_the_last() -> None:
    talk = Talk()
    _, sink = talk.open()
    later: list[FakeSink] = []
    sink.on_call = lambda called: later.append(talk.open()[1]) if called == "end" else None
    talk.stream.bring(HELLO)
    assert (len(later), talk.connection.uses) == (1, 2)
    talk.stream.bring(HELLO)
    assert (sink.body, later[0].body, later[0].outcome) == (b"hello", b"hello", "end")

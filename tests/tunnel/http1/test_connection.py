"""The connection between and around exchanges: reuse, ends, losses."""

from collections.abc import Callable

import pytest

from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk
from tunnel.errors import LinkLostError, ServiceUnreachableError, StreamRefusedError
from tunnel.port import RequestHead

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def test_exchanges_follow_each_other() -> None:
    talk = Talk()
    assert (talk.connection.idle_since, talk.connection.uses) == (100.0, 0)
    for count in range(1, 4):
        talk.now += 1
        _, sink = talk.open(target=b"/%d" % count)
        talk.now += 1
        talk.stream.bring(HELLO)
        assert (sink.calls, sink.body) == (["head", "data", "end"], b"hello")
        assert (talk.connection.idle_since, talk.connection.uses) == (talk.now, count)
    assert talk.told == ["idle"] * 3
    assert talk.stream.written.count(b"HTTP/1.1\r\nHost: a.test\r\n\r\n") == 3


def test_one_exchange_at_a_time() -> None:
    talk = Talk()
    talk.open()
    with pytest.raises(RuntimeError):
        talk.open()
    assert talk.connection.uses == 1


def test_the_stream_ends_before_an_answer_on_a_fresh_connection() -> None:
    talk = Talk()
    _, sink = talk.open()
    talk.stream.finish()
    assert (type(sink.error), sink.error.retryable if sink.error else None) == (ServiceUnreachableError, True)
    assert (talk.told, talk.stream.state) == (["closed"], "ended")


def test_the_stream_ends_before_an_answer_on_a_reused_connection() -> None:
    talk = Talk()
    talk.open()
    talk.stream.bring(HELLO)
    _, sink = talk.open()
    talk.stream.finish()
    assert (type(sink.error), sink.error.retryable if sink.error else None) == (StreamRefusedError, True)
    assert talk.told == ["idle", "closed"]


def test_the_stream_ends_before_an_answer_while_the_upload_runs() -> None:
    talk = Talk()
    _, sink = talk.open(b"POST", body_length=5)
    talk.stream.finish()
    assert (sink.outcome, talk.told, talk.stream.state) == ("ServiceUnreachableError", ["closed"], "reset")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", HELLO[:-2]])
def test_a_lost_stream_passes_its_own_error_on(answer: bytes) -> None:
    talk = Talk()
    _, sink = talk.open()
    if answer:
        talk.stream.bring(answer)
    talk.stream.lose(LinkLostError("gone"))
    assert isinstance(sink.error, LinkLostError)
    assert (str(sink.error), len(sink.heads)) == ("gone", int(b"\r\n\r\n" in answer))
    assert sink.error.retryable == (not answer)
    assert (talk.told, talk.stream.unacknowledged) == (["closed"], 0)


def idle() -> Talk:
    talk = Talk()
    talk.open()
    talk.stream.bring(HELLO)
    return talk


def fresh() -> Talk:
    return Talk()


@pytest.mark.parametrize("make", [idle, fresh])
@pytest.mark.parametrize(
    ("what", "state"), [("bytes", "reset"), ("end", "ended"), ("loss", "lost"), ("close", "reset")]
)
def test_an_idle_connection_ends(make: Callable[[], Talk], what: str, state: str) -> None:
    talk = make()
    told = len(talk.told)
    if what == "bytes":
        talk.stream.bring(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    elif what == "end":
        talk.stream.finish()
    elif what == "loss":
        talk.stream.lose(LinkLostError("gone"))
    else:
        talk.connection.close()
    assert (talk.told[told:], talk.stream.state, talk.stream.unacknowledged) == (["closed"], state, 0)
    talk.connection.close()
    assert talk.told[told:] == ["closed"]
    assert talk.connection.is_closed
    sink = FakeSink()
    with pytest.raises(StreamRefusedError):
        talk.connection.open(RequestHead(b"GET", b"/", []), sink)
    assert sink.calls == []


def test_close_leaves_a_running_exchange_alone() -> None:
    talk = Talk()
    _, sink = talk.open()
    talk.connection.close()
    assert (talk.told, talk.stream.state) == ([], "open")
    talk.stream.bring(HELLO)
    assert (sink.outcome, talk.told) == ("end", ["idle"])


def test_an_end_right_behind_the_answer_closes_in_order() -> None:
    talk = Talk()
    _, sink = talk.open()
    talk.stream.bring(HELLO)
    talk.stream.finish()
    assert (sink.outcome, talk.told, talk.stream.state, talk.stream.ended) == ("end", ["idle", "closed"], "ended", 1)


def test_a_link_lost_after_the_end_is_nothing_new() -> None:
    talk = Talk()
    _, sink = talk.open()
    talk.stream.bring(HELLO)
    talk.stream.finish()
    talk.stream.lose(LinkLostError("gone"))
    assert (sink.outcome, talk.told) == ("end", ["idle", "closed"])


def test_the_connection_is_settled_before_the_sink_is_told() -> None:
    talk = Talk()
    _, sink = talk.open()
    seen: list[list[str]] = []
    sink.on_call = lambda called: seen.append(list(talk.told)) if called in {"end", "failed"} else None
    talk.stream.bring(HELLO)
    _, sink = talk.open()
    sink.on_call = lambda called: seen.append(list(talk.told)) if called in {"end", "failed"} else None
    talk.stream.bring(b"garbage")
    assert seen == [["idle"], ["idle", "closed"]]


def test_a_hint_of_an_earlier_answer_stays() -> None:
    talk = Talk()
    talk.open()
    talk.stream.bring(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 0\r\n\r\n")
    talk.open()
    talk.stream.bring(HELLO)
    assert talk.connection.keep_alive_seconds == 2.0


def test_the_representation_is_the_status_line() -> None:
    talk = Talk()
    assert repr(talk.connection) == "<HttpConnection idle, 0 uses>"
    exchange, _ = talk.open(b"POST", body_length=5)
    assert repr(talk.connection) == "<HttpConnection active, 1 uses>"
    assert repr(exchange) == "<StreamExchange running, request unfinished>"
    exchange.send_data(b"hello")
    exchange.pause()
    assert repr(exchange) == "<StreamExchange paused, request sent>"
    exchange.reset()
    assert repr(talk.connection) == "<HttpConnection closed, 1 uses>"
    assert repr(exchange) == "<StreamExchange over, request sent>"

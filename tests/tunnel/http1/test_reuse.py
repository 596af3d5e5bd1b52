"""One exchange object after the other, or the same again: which are reused, and that nothing passes between them."""

import gc
import weakref
from collections.abc import Callable

import pytest

from tests.fakes.connections import Callbacks
from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk
from tests.tunnel.http1.test_whole import WholeSink
from tunnel.errors import ServiceBrokeOffError, StreamRefusedError
from tunnel.http1 import BodyLengthError, HttpConnection, Pool
from tunnel.nobody import NOBODY
from tunnel.port import Exchange, RequestHead

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
OTHER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nbye"


def get(talk: Talk, sink: FakeSink, method: bytes = b"GET", body_length: int | None = 0, **more: bool) -> Exchange:
    return talk.connection.open(RequestHead(method, b"/", [(b"Host", b"a.test")], body_length, **more), sink)


def answered() -> tuple[Talk, Exchange]:
    """A connection whose exchange was told by `whole`."""
    talk, sink = Talk(), WholeSink()
    exchange = get(talk, sink)
    talk.stream.bring(HELLO)
    assert (sink.outcome, talk.told) == ("end", ["idle"])
    return talk, exchange


def test_the_same_object_carries_one_request_after_the_other() -> None:
    talk, exchange = answered()
    for raw, status in ((OTHER, 404), (HELLO, 200), (OTHER, 404)):
        sink = WholeSink()
        assert get(talk, sink) is exchange
        assert sink.calls == []
        talk.stream.bring(raw)
        assert (sink.statuses, sink.body, sink.outcome) == ([status], raw[-len(sink.body) :], "end")
    assert talk.told == ["idle"] * 4
    assert talk.connection.uses == 4


@pytest.mark.parametrize(
    ("method", "body_length", "upgrade"),
    [(b"HEAD", 0, False), (b"POST", 1, False), (b"POST", None, False), (b"GET", 0, True)],
)
def test_other_kinds_of_requests_get_an_object_of_their_own(
    method: bytes, body_length: int | None, upgrade: bool
) -> None:
    talk, exchange = answered()
    other = get(talk, WholeSink(), method, body_length, upgrade=upgrade)
    assert other is not exchange
    exchange.reset()  # it is over, and the other is none of its business
    assert talk.stream.state == "open"
    other.reset()
    assert talk.stream.state == "reset"


def test_after_another_kind_the_object_is_used_again() -> None:
    talk, exchange = answered()
    sink = WholeSink()
    upload = get(talk, sink, b"POST", 1)
    upload.send_data(b"x")
    talk.stream.bring(HELLO)
    assert sink.outcome == "end"
    assert get(talk, WholeSink()) is exchange
    upload.reset()
    talk.stream.bring(HELLO)
    assert talk.told == ["idle"] * 3


@pytest.mark.parametrize(
    ("sink", "pieces"),
    [
        (FakeSink, [HELLO]),
        (WholeSink, [HELLO[:-1], HELLO[-1:]]),
        (WholeSink, [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]),
        (WholeSink, [b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO]),
    ],
)
def test_what_was_told_in_several_calls_is_never_used_again(sink: type[FakeSink], pieces: list[bytes]) -> None:
    """Its sink may keep it for as long as it likes, and does so here."""
    talk, reused = answered()
    kept = [reused]
    for _ in range(3):
        made = sink()
        kept.append(get(talk, made))
        talk.stream.bring(*pieces)
        assert made.outcome == "end"
        after = WholeSink()
        new = get(talk, after)
        assert new not in kept
        for old in kept[1:]:
            old.pause()
            old.resume()
            old.end()
            assert old.send_data(b"x")
            old.reset()
        talk.stream.bring(HELLO)
        assert after.outcome == "end"
        kept.append(get(talk, WholeSink()))
        assert kept[-1] is new  # that one was told by `whole`
        talk.stream.bring(HELLO)


def test_a_paused_exchange_is_told_in_several_calls() -> None:
    talk, exchange = answered()
    sink = WholeSink()
    assert get(talk, sink) is exchange
    exchange.pause()
    exchange.resume()
    talk.stream.bring(HELLO)
    assert (sink.blocks, sink.body, sink.outcome) == ([], b"hello", "end")
    assert get(talk, WholeSink()) is not exchange


def reset(talk: Talk, exchange: Exchange) -> None:
    exchange.reset()


def too_much_body(talk: Talk, exchange: Exchange) -> None:
    with pytest.raises(BodyLengthError):
        exchange.send_data(b"x")


def garbage(talk: Talk, exchange: Exchange) -> None:
    talk.stream.bring(b"garbage\r\n\r\n")


def lost(talk: Talk, exchange: Exchange) -> None:
    talk.stream.lose(ServiceBrokeOffError("gone"))


def ended(talk: Talk, exchange: Exchange) -> None:
    talk.stream.finish()


def broken_off(talk: Talk, exchange: Exchange) -> None:
    talk.stream.bring(HELLO[:-1])
    talk.stream.finish()


def leftover(talk: Talk, exchange: Exchange) -> None:
    talk.stream.bring(HELLO + b"HTTP/1.1 ")


@pytest.mark.parametrize("fault", [reset, too_much_body, garbage, lost, ended, broken_off, leftover])
def test_after_an_error_nothing_of_the_connection_is_used_again(fault: Callable[[Talk, Exchange], None]) -> None:
    talk, exchange = answered()
    sink = WholeSink()
    assert get(talk, sink) is exchange
    fault(talk, exchange)
    assert talk.told == ["idle", "closed"]
    assert talk.connection.spare is None
    calls = list(sink.calls)
    with pytest.raises(StreamRefusedError):
        get(talk, WholeSink())
    assert sink.calls == calls


def test_a_lost_race_is_told_as_one_to_the_second_sink() -> None:
    talk, _ = answered()
    sink = WholeSink()
    get(talk, sink)
    talk.stream.finish()
    assert sink.error is not None
    assert (type(sink.error), sink.error.retryable) == (StreamRefusedError, True)


class Pooled:
    """A pool of connections on a clock of its own; each connection goes back to it, as an upstream has it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pool = Pool(clock=lambda: self.now)

    def talk(self) -> Talk:
        talk = Talk()
        talk.connection = HttpConnection(
            talk.stream, clock=lambda: self.now, owner=Callbacks(on_idle=self.pool.put, on_closed=self.pool.discard)
        )
        return talk


@pytest.mark.parametrize("head_first", [False, True])
def test_a_suspect_connection_takes_its_object_with_it(head_first: bool) -> None:
    pooled = Pooled()
    talk = pooled.talk()
    get(talk, WholeSink())
    talk.stream.bring(HELLO)
    assert pooled.pool.take(repeatable=True) is talk.connection
    get(talk, WholeSink(), b"HEAD" if head_first else b"GET")
    not_modified = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
    talk.stream.bring(HELLO[: -len(b"hello")] if head_first else not_modified)
    assert pooled.pool.take(repeatable=True) is None
    assert (talk.connection.is_closed, talk.connection.spare, talk.stream.state) == (True, None, "reset")


@pytest.mark.parametrize("by", ["take", "expire", "close"])
def test_an_expired_connection_takes_its_object_with_it(by: str) -> None:
    pooled = Pooled()
    old, new = pooled.talk(), pooled.talk()
    exchange = get(old, WholeSink())
    old.stream.bring(HELLO)
    pooled.now += 3.5
    if by == "take":
        assert pooled.pool.take(repeatable=True) is None
    elif by == "expire":
        pooled.pool.expire()
    else:
        pooled.pool.close()
    assert (old.connection.is_closed, old.connection.spare, len(pooled.pool)) == (True, None, 0)
    sink = WholeSink()
    assert get(new, sink) is not exchange
    exchange.reset()
    exchange.resume()
    new.stream.bring(HELLO)
    assert sink.outcome == "end"


def test_a_sink_may_ask_again_within_whole() -> None:
    talk = Talk()
    inner = WholeSink()
    found: list[Exchange] = []

    class Eager(WholeSink):
        def end(self) -> None:
            super().end()
            found.append(get(talk, inner))

    exchange = get(talk, Eager())
    talk.stream.bring(HELLO)
    assert found == [exchange]
    assert (inner.calls, talk.stream.unacknowledged) == ([], 0)
    talk.stream.bring(OTHER)
    assert (inner.statuses, inner.body, inner.outcome) == ([404], b"bye", "end")


def test_what_waits_for_its_next_request_keeps_nothing_of_the_last() -> None:
    talk, sink = Talk(), WholeSink()
    exchange = get(talk, sink)
    talk.stream.bring(HELLO)
    gone = weakref.ref(sink)
    del sink
    assert gone() is None
    kept = [item for item in gc.get_referents(exchange) if not isinstance(item, type | int | None)]
    assert {id(item) for item in kept} == {id(talk.connection), id(talk.stream), id(NOBODY)}

"""What sessions between nodes use: credit that its owner keeps back, and resets that say why."""

from tests.tunnel.yamux.wire import body_of, opened, pair, said, talk
from tunnel.yamux import StreamReset


def test_an_opener_may_keep_its_credit_back():
    a, b = pair()
    stream_id = a.open_stream()
    kept = a.restrain(stream_id, 1000)
    assert kept == 262_144 - 1000
    a.send_data(stream_id, b"x" * 5000)
    _, told = talk(a, b)
    assert len(body_of(told, stream_id)) == 1000
    b.accept_stream(stream_id)
    assert body_of(talk(a, b)[1], stream_id) == b""
    a.release(stream_id, kept)
    _, told = talk(a, b)
    assert len(body_of(told, stream_id)) == 4000
    a.release(99, kept)  # a stream that is over
    a.release(stream_id, 0)


def test_credit_that_was_kept_back_is_no_more_than_there_is():
    a, b = pair()
    stream_id = a.open_stream()
    assert a.restrain(stream_id, 1_000_000) == 0
    a.send_data(stream_id, b"x" * 70_000)
    assert len(body_of(talk(a, b)[1], stream_id)) == 70_000


def test_a_reset_says_why():
    a, b, stream_id = opened()
    b.reset_stream(stream_id, 7)
    told, _ = talk(a, b)
    assert told == [StreamReset(stream_id, 7)]


def test_a_reset_without_a_reason_is_what_it_was():
    a, b, stream_id = opened()
    b.reset_stream(stream_id)
    assert said(b) == [f"WINDOW|RST {stream_id} 0"]
    a, b, stream_id = opened()
    a.reset_stream(stream_id)
    assert talk(a, b)[1] == [StreamReset(stream_id)]

"""Cut and paused in any way, an answer is the same; broken in any way, it ends in order."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk, cut
from tunnel.errors import BadAnswerError, ServiceBrokeOffError, ServiceUnreachableError

names = st.sampled_from([b"X-A", b"x-b", b"Set-Cookie", b"ETag", b"X-A"])
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8).map(str.encode)
fields = st.lists(st.tuples(names, values), max_size=4)


@dataclass
class Example:
    """An answer as bytes, and as what it says."""

    raw: bytes
    statuses: list[int]
    headers: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]] | None
    ends_stream: bool


def encoded(headers: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in headers)


@st.composite
def answers(draw: st.DrawFn) -> Example:
    interim = draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2))
    raw = b"".join(b"HTTP/1.1 %d Wait\r\n\r\n" % status for status in interim)
    headers = draw(fields)
    framing = draw(st.sampled_from(["length", "chunked", "end", "none"]))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4)) if framing != "none" else []
    body = b"".join(pieces)
    status, trailers = 200, None
    if framing == "length":
        raw_headers = headers = [*headers, (b"Content-Length", b"%d" % len(body))]
        raw_body = body
    elif framing == "chunked":
        raw_headers = [*headers, (b"Transfer-Encoding", b"chunked")]
        trailers = draw(fields) or None
        extension = draw(st.sampled_from([b"", b";a", b';a="b\\"c"']))
        raw_body = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
        raw_body += b"0\r\n" + encoded(trailers or []) + b"\r\n"
    else:
        status = 204 if framing == "none" else 200
        raw_headers, raw_body = headers, body
    raw += b"HTTP/1.1 %d Reason given\r\n" % status + encoded(raw_headers) + b"\r\n" + raw_body
    return Example(raw, [*interim, status], headers, body, trailers, framing == "end")


def bring(data: st.DataObject, raw: bytes, *, fin: bool) -> tuple[Talk, FakeSink]:
    """Feed `raw` in drawn pieces, to a sink that pauses when it likes, and resumes when it likes."""
    talk = Talk()
    exchange, sink = talk.open()
    paused = False

    def maybe_pause(called: str) -> None:
        nonlocal paused
        if data.draw(st.integers(0, 3)) == 0:
            paused = True
            exchange.pause()

    sink.on_call = maybe_pause
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        told = len(sink.calls)
        was_paused = paused
        talk.stream.bring(raw[:size])
        raw = raw[size:]
        assert not was_paused or len(sink.calls) == told
        assert paused or talk.stream.unacknowledged == 0
        if data.draw(st.booleans()):
            paused = False
            exchange.resume()
    if fin:
        talk.stream.finish()
    sink.on_call = None
    exchange.resume()
    return talk, sink


@examples(300)
@given(answers(), st.data())
def test_an_answer_is_the_same_however_it_is_cut_and_paused(example: Example, data: st.DataObject) -> None:
    talk, sink = bring(data, example.raw, fin=example.ends_stream)
    assert sink.outcome == "end"
    assert sink.statuses == example.statuses
    assert sink.heads[-1].headers == example.headers
    assert sink.body == example.body
    assert sink.trailer_fields == example.trailers
    assert talk.stream.acknowledged == len(example.raw)
    assert talk.told == (["closed"] if example.ends_stream else ["idle"])


places = st.floats(0, 1, exclude_max=True)
inserted = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b" ", b":", b"\x00", b"0", b"f", b";", b",", b"Content-Length: 3\r\n"]
)
kinds = st.sampled_from(["cut", "put", "set", "double"])
breaks = st.lists(st.tuples(places, kinds, st.binary(max_size=3) | inserted), min_size=1, max_size=3)


def broken(raw: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    for where, how, what in changes:
        at = int(where * len(raw))
        rest = {"cut": at + len(what), "put": at, "set": at + 1, "double": at // 2}[how]
        raw = raw[:at] + (b"" if how == "cut" else what) + raw[rest:]
    return raw


@examples(600)
@given(answers(), breaks, st.data())
def test_a_broken_answer_ends_in_a_documented_way(
    example: Example, changes: list[tuple[float, str, bytes]], data: st.DataObject
) -> None:
    raw = broken(example.raw, changes)
    talk, sink = bring(data, raw, fin=True)
    assert sink.outcome == "end" or isinstance(
        sink.error, BadAnswerError | ServiceBrokeOffError | ServiceUnreachableError
    )
    assert talk.told[-1] == "closed"
    assert talk.stream.unacknowledged == 0
    assert talk.stream.state in {"reset", "ended"}


@examples(500)
@given(answers(), breaks)
def test_a_broken_answer_is_judged_alike_however_it_is_cut(
    example: Example, changes: list[tuple[float, str, bytes]]
) -> None:
    raw = broken(example.raw, changes)
    sinks = []
    for size in (0, 1, 7):
        talk = Talk()
        _, sink = talk.open()
        talk.stream.bring(*cut(raw, size))
        talk.stream.finish()
        sinks.append(sink)
    assert len({sink.outcome for sink in sinks}) == 1
    if sinks[0].outcome == "end":
        assert sinks[0].statuses == sinks[1].statuses == sinks[2].statuses
        assert sinks[0].heads == sinks[1].heads == sinks[2].heads
        assert sinks[0].body == sinks[1].body == sinks[2].body
        assert sinks[0].trailer_fields == sinks[1].trailer_fields == sinks[2].trailer_fields


@examples(300)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
    st.data(),
)
def test_noise_ends_in_a_documented_way(noise: bytes, start: bytes, data: st.DataObject) -> None:
    talk, sink = bring(data, start + noise, fin=True)
    assert sink.outcome in {"end", "BadAnswerError", "ServiceBrokeOffError", "ServiceUnreachableError"}
    assert (talk.told[-1], talk.stream.unacknowledged) == ("closed", 0)

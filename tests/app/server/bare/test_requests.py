"""What passes through the bare door: heads, interim answers, trailers, and several requests on one stream."""

from app.server.bodies import FRAMING_BYTES
from tests.app.server.bare.hop import BOTH, FIELDS, GET, JSON, Hop, Telling, Writer, ok
from tests.tunnel.gateway.proxied.agent import Stage, conversation

# --- what passes


@BOTH
@conversation
async def test_the_head_passes_as_it_came(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    hop.ask(target=b"/caf%C3%A9?q=%20&a=+")
    await hop.settle()
    heard = hop.service.heard
    assert heard.target == "/café?q=%20&a=+"
    assert heard.fields == sorted((name.decode(), value.decode()) for name, value in FIELDS)
    await hop.end()


@BOTH
@conversation
async def test_a_client_that_waits_for_a_100_gets_it(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    exchange, sink = hop.ask(
        b"POST", fields=[*FIELDS, (b"content-length", b"5"), (b"expect", b"100-continue")], length=5
    )
    await hop.settle()
    assert sink.statuses == [100]
    exchange.send_data(b"hello")
    await hop.settle()
    assert hop.service.heard.body == b"hello"
    ok(hop)
    await hop.settle()
    assert (sink.statuses, sink.body, hop.fates) == ([100, 200], b"ok", ["idle"])
    await hop.end()


@conversation
async def test_interim_answers_and_trailers_pass_where_the_upstream_tells_them(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    _, sink = hop.ask()
    await hop.settle()
    upstream.exchange.answer(103, [(b"Link", b"</a.css>")])
    upstream.exchange.answer(200, [(b"Trailer", b"X-Sum")])
    upstream.exchange.bring(b"body")
    upstream.exchange.sink.trailers([(b"X-Sum", b"7")])
    upstream.exchange.finish()
    await hop.settle()
    assert (sink.statuses, sink.body, sink.trailer_fields) == ([103, 200], b"body", [(b"x-sum", b"7")])
    await hop.end()


@conversation
async def test_the_upstream_is_given_the_request_without_what_is_the_stream_s(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream, fresh=True)
    exchange, _ = hop.ask(b"POST", length=None)
    exchange.send_data(b"he")
    await hop.settle()
    exchange.send_data(b"llo")
    exchange.end()
    await hop.settle()
    head = upstream.exchange.head
    assert (head.method, head.target, head.body_length, head.upgrade) == (b"POST", b"/a?b=1", None, False)
    assert head.headers == FIELDS
    assert (upstream.exchange.body, upstream.exchange.ended, upstream.exchange.fresh) == (b"hello", 1, True)
    upstream.exchange.answer(204)
    upstream.exchange.finish()
    await hop.settle()
    hop.ask()
    await hop.settle()
    assert not upstream.exchange.fresh, "only the first request asked for it"
    await hop.end()


@conversation
async def test_small_chunks_have_no_bound_of_their_own(stage: Stage):
    """A client may send them for hours, and the asking node passes each on as it comes."""
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    exchange, _ = hop.ask(b"POST", length=None)
    for _ in range(120):
        exchange.send_data(b"x")
        hop.near.write(b"1\r\nx\r\n" * 1_000)
        await hop.settle()
    exchange.end()
    await hop.settle()
    assert len(hop.far.received) > FRAMING_BYTES
    assert (len(upstream.exchange.body), upstream.exchange.ended) == (120_120, 1)
    await hop.end()


# --- several requests


@BOTH
@conversation
async def test_requests_follow_each_other_on_one_stream(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    for number in range(5):
        body = b"%d" % number
        exchange, sink = hop.ask(b"POST", fields=[*FIELDS, (b"content-length", b"1")], length=1)
        exchange.send_data(body)
        await hop.settle()
        assert hop.service.heard.body == body
        ok(hop, body)
        await hop.settle()
        assert (sink.statuses, sink.body, sink.outcome) == ([200], body, "end")
    assert (hop.answers, hop.service.requests) == ([None], 5)
    assert stage.account.held_bytes == 0
    await hop.end()


@BOTH
@conversation
async def test_answers_to_requests_at_once_do_not_mix(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    got = Writer()
    hop.near.owner = got
    hop.near.write(GET + GET.replace(b"/ ", b"/2 "))
    await hop.settle()
    assert hop.service.requests == 1, "the second waits for the first one's answer"
    hop.service.head(200, [(b"content-length", b"2")])
    hop.service.data(b"o")
    await hop.settle()
    assert hop.service.requests == 1
    hop.service.data(b"k")
    hop.service.end()
    await hop.settle()
    assert (hop.service.requests, hop.service.heard.target) == (2, "/2")
    ok(hop, b"second")
    await hop.settle()
    assert got.data.endswith(b"ok" + got.data[-len(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond") :])
    await hop.end()


@BOTH
@conversation
async def test_a_later_request_that_the_dialect_cannot_carry_gets_its_400(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    hop.ask()
    await hop.settle()
    ok(hop)
    await hop.settle()
    _, sink = hop.ask(target=b"/a;b")
    await hop.settle()
    assert (sink.statuses, sink.outcome, hop.service.requests) == ([400], "end", 1)
    assert b"semicolon" in sink.body
    await hop.end()


@BOTH
@conversation
async def test_a_later_request_on_a_link_that_was_lost_resets_the_stream(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    hop.ask()
    await hop.settle()
    ok(hop)
    await hop.settle()
    assert hop.agent is not None
    hop.agent.lose()
    _, sink = hop.ask()
    await hop.settle()
    assert (sink.statuses, sink.outcome) == ([], "LinkLostError")
    await hop.end()


@BOTH
@conversation
async def test_streams_that_idle_on_a_lost_link_end_at_once(stage: Stage, kind: str):
    hop, other = Hop(stage, kind), Hop(stage, kind)
    for each in (hop, other):
        each.ask()
        await each.settle()
        ok(each)
        await each.settle()
    assert hop.door is not None
    assert hop.agent is not None
    hop.door.link_left(hop.agent.link.name)
    await hop.settle()
    assert (hop.fates[-1], other.fates[-1]) == ("closed", "idle")
    await hop.end()
    await other.end()
    assert hop.door._of_link == {}

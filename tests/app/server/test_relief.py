"""At the hard mark of the account: connections whose clients sent ahead are ended, those with the most bytes first."""

import logging

import pytest

from tests.app.public.limits import Lines, hits
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import dialogue, quiet

MARKS = {"held_bytes_limit": 40_000, "held_bytes_hard_limit": 50_000}
HOST_LINE = f"Host: {HOST}\r\n\r\n".encode()
HEAD = b"GET / HTTP/1.1\r\n" + HOST_LINE


def visitors(front: Front, *ahead: int) -> list[Visitor]:
    """Clients that ask for something, and send so many bytes of the next request's head."""
    made = [Visitor(front) for _ in ahead]
    for visitor, size in zip(made, ahead, strict=True):
        visitor.ask("/")
        visitor.protocol.data_received(b"x" * size)
    return made


@dialogue
async def test_the_one_with_the_most_waiting_bytes_ends_and_no_other(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "gateway")
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        small, large, middle = visitors(Front(s), 10_000, 25_000, 15_000)
        await quiet()
        assert not large.wire.closed, "at the mark"
        small.protocol.data_received(b"x")
        await quiet()
        assert large.wire.aborted
        assert not small.wire.closed
        assert not middle.wire.closed
        assert s.gateway.account.held_bytes == 25_001
        assert s.link.exchanges[1].resets == 1
        assert hits(s) == {"held_hard": 1}
        assert lines.last["detail"] == "too many of its bytes waited unread"
        (said,) = [record.getMessage() for record in caplog.records if "where most bytes" in record.message]
        ended = "<Connection answering, 1 requests, 25000 bytes wait>"
        assert said == f"50001 bytes are held: end {ended}, where most bytes wait unread"
        for visitor in (small, middle):
            visitor.wire.lose()


@dialogue
async def test_unfinished_heads_count():
    async with Stage(**MARKS) as s:
        front = Front(s)
        slow = [Visitor(front) for _ in range(3)]
        for visitor, size in zip(slow, (20_000, 30_000, 5_000), strict=True):
            visitor.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * size)
        await quiet()
        assert [visitor.wire.aborted for visitor in slow] == [False, True, False]
        for visitor in slow:
            visitor.wire.lose()


@pytest.mark.parametrize(("held", "reset"), [(30_000, True), (20_000, False)])
@dialogue
async def test_the_kind_that_holds_more_goes_first(held: int, reset: bool):
    async with Stage(**MARKS) as s:
        (visitor,) = visitors(Front(s), 25_000)
        with Visitor(Front(s)) as other:
            other.ask("/held")
            exchange = s.link.exchanges[-1]
            exchange.hold(held, s.gateway.account)
            await quiet()
            if held <= 25_000:
                visitor.protocol.data_received(b"x" * 6_000)
                await quiet()
            assert bool(exchange.resets) is reset
            assert visitor.wire.aborted is not reset
        visitor.wire.lose()
        await quiet()

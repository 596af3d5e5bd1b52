"""What another node has not taken is sent again, whole, whatever its method: nobody had it."""

import asyncio

import pytest

from app.public.opening_call import MOST_DECLINED
from app.public.upload import KEPT_BYTES
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import NodeBusyError, NodeDrainingError, NotHereError, NotPassedOnError, StreamRefusedError
from tunnel.port import Pool, Target, Upstream

CHUNKED = [(b"transfer-encoding", b"chunked")]


class Others:
    """Other nodes: one upstream after the other, the last one for ever. None: nobody is left."""

    def __init__(self, *upstreams: FakeLink | None) -> None:
        self.upstreams = list(upstreams)
        self.avoided: list[Upstream | None] = []
        self.declined: list[tuple[Upstream, type[NotPassedOnError]]] = []

    def has(self, _pool: Pool) -> bool:
        return True

    def choose(self, _target: Target, avoid: Upstream | None, _preference: object) -> Upstream | None:
        self.avoided.append(avoid)
        return self.upstreams.pop(0) if len(self.upstreams) > 1 else self.upstreams[0]  # type: ignore[return-value]

    def not_taken(self, upstream: Upstream, error: NotPassedOnError) -> None:
        self.declined.append((upstream, type(error)))

    def serves(self, _pool: Pool) -> bool:
        return False

    def pools(self) -> set[Pool]:
        return {"c1"}

    async def leave(self, deadline: float) -> None: ...

    async def aclose(self) -> None: ...


def node(name: str) -> FakeLink:
    link = FakeLink()
    link.node = name
    return link


def among(s: Stage, *upstreams: FakeLink | None) -> Others:
    others = s.gateway.elsewhere = Others(*upstreams)
    return others


@pytest.mark.parametrize("kind", [NotHereError, NodeBusyError, NodeDrainingError])
@pytest.mark.parametrize("method", ["GET", "POST"])
@dialogue
async def test_another_node_gets_it(kind: type[NotPassedOnError], method: str):
    async with Stage(links=0) as s:
        first, second = node("n2"), node("n3")
        others = among(s, first, second)
        request = Request(s.app, method).start()
        request.body(b"")
        await quiet()
        first.only.fail(kind("not I"))
        await quiet()
        assert others.declined == [(first, kind)]
        assert others.avoided == [None, first]
        second.only.answer(200)
        second.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_it_stays_here_where_no_other_node_is_left():
    async with Stage() as s:
        first = node("n2")
        among(s, first, None)
        request = Request(s.app).start()
        await quiet()
        first.only.fail(NotHereError("not I"))
        await quiet()
        s.link.only.answer(200)
        s.link.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_all_of_a_body_is_sent_again_and_what_still_comes_after_it():
    async with Stage(links=0) as s:
        first, second = node("n2"), node("n3")
        among(s, first, second)
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        for piece in (b"one", b"two"):
            request.body(piece, more=True)
            await quiet()
        assert first.only.body == b"onetwo"
        assert s.gateway.account.held_bytes == 6
        first.only.fail(NotHereError("not I"))
        request.body(b"three")
        await quiet()
        assert (second.only.body, second.only.ended) == (b"onetwothree", 1)
        second.only.answer(200)
        second.only.finish()
        assert (await request.over()).status == 200
        assert s.gateway.account.held_bytes == 0


@dialogue
async def test_a_body_that_had_ended_is_ended_again():
    async with Stage(links=0) as s:
        first, second = node("n2"), node("n3")
        among(s, first, second)
        request = Request(s.app, "POST", headers=[(b"content-length", b"4")]).start()
        request.body(b"four")
        await quiet()
        first.only.fail(NodeBusyError("not now"))
        await quiet()
        assert (second.only.body, second.only.ended) == (b"four", 1)
        second.only.answer(200)
        second.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_a_body_that_ends_while_another_node_is_waited_for_waits_for_nobody_to_read_it():
    async with Stage(links=0, reconnect_grace=3.0, http_write_timeout=5.0, response_head_timeout=60.0) as s:
        first, second = node("n2"), node("n3")
        others = among(s, first, None)
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        request.body(b"one", more=True)
        await quiet()
        first.only.fail(NodeBusyError("not now"))
        request.body(b"two")
        await quiet()
        others.upstreams = [second]
        s.gateway.registry.wake("c1")
        await quiet()
        assert (second.only.body, second.only.ended) == (b"onetwo", 1)
        await asyncio.sleep(8.0)
        second.only.answer(200)
        second.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_a_body_that_waits_for_its_100_waits_while_there_is_nobody_to_send_it_to():
    async with Stage(links=0, reconnect_grace=3.0) as s:
        first, second = node("n2"), node("n3")
        others = among(s, first, None)
        request = Request(s.app, "POST", headers=[*CHUNKED, (b"expect", b"100-continue")]).start()
        await quiet()
        request.body(b"x" * 2 * KEPT_BYTES, more=True)
        first.only.fail(NodeBusyError("not now"))
        await asyncio.sleep(2.0)
        assert s.gateway.account.held_bytes < KEPT_BYTES
        others.upstreams = [second]
        s.gateway.registry.wake("c1")
        await quiet()
        assert second.only.body == b""
        await asyncio.sleep(1.5)
        assert len(second.only.body) == 2 * KEPT_BYTES
        request.body(b"")
        await quiet()
        second.only.answer(200)
        second.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_nothing_is_kept_once_the_answer_has_begun():
    async with Stage(links=0) as s:
        first = node("n2")
        among(s, first)
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        request.body(b"x" * 1000, more=True)
        await quiet()
        first.only.answer(200)
        await quiet()
        assert s.gateway.account.held_bytes == 0
        request.body(b"")
        first.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_what_a_local_agent_is_sent_is_not_kept():
    async with Stage() as s:
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        request.body(b"x" * 1000, more=True)
        await quiet()
        assert s.gateway.account.held_bytes == 0
        request.body(b"")
        await quiet()
        s.link.only.answer(200)
        s.link.only.finish()
        await request.over()


@dialogue
async def test_a_body_that_is_too_long_to_be_kept_is_not_sent_again():
    async with Stage(links=0) as s:
        first, second = node("n2"), node("n3")
        among(s, first, second)
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        request.body(b"x" * (KEPT_BYTES + 1), more=True)
        await quiet()
        assert s.gateway.account.held_bytes == 0
        first.only.fail(NotHereError("not I"))
        answer = await request.over()
        assert answer.status == 503  # nobody had it: the client may try again
        assert second.exchanges == []


@dialogue
async def test_each_failure_counts_as_what_it_is():
    """Declined as often as it takes, and tried once more after a failure: two counts."""
    async with Stage(links=0) as s:
        nodes = [node(f"n{number}") for number in range(4)]
        among(s, *nodes)
        request = Request(s.app).start()
        await quiet()
        for link, error in zip(nodes, (NotHereError("1"), StreamRefusedError("2"), NodeBusyError("3")), strict=False):
            link.only.fail(error)
            await quiet()
        nodes[3].only.fail(StreamRefusedError("4"))
        assert (await request.over()).status == 502


@dialogue
async def test_not_for_ever():
    async with Stage(links=0) as s:
        only = node("n2")
        among(s, only)
        request = Request(s.app).start()
        for _ in range(MOST_DECLINED + 1):
            await quiet()
            only.exchanges[-1].fail(NodeBusyError("busy"))
        assert (await request.over()).status == 503
        assert len(only.exchanges) == MOST_DECLINED + 1

"""Queries for the operator's API over a peer link: asked, answered, refused, and left on either side."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.cluster.peer.answering import RUNNING, SECONDS
from app.cluster.peer.preamble import OPERATOR, PreambleDecoder, PreambleError, encode
from app.cluster.peer.query import QUERY_BYTES, REPLY_BYTES, encoded, read
from app.cluster.peer.question import put
from app.node.asking import Query, Reply
from tests.app.cluster.peer.hop import Hop
from tests.fakes.loop import dialogue
from tunnel.errors import LinkLostError, MessageTooLargeError, NodeBusyError, ServiceSlowError, TunnelError

LINKS = Query(method="GET", target="/-/links?limit=5", client="192.0.2.1", most_bytes=1000)


def hop_with(operator: Callable[[Query], Awaitable[Reply]]) -> Hop:
    hop = Hop()
    hop.serving.operator = operator
    return hop


def saying(reply: Reply, heard: list[Query] | None = None) -> Callable[[Query], Awaitable[Reply]]:
    async def operator(query: Query) -> Reply:
        if heard is not None:
            heard.append(query)
        return reply

    return operator


async def carried(hop: Hop, query: Query = LINKS) -> Reply:
    """The reply, or what is raised, with the bytes carried until then."""
    asking = asyncio.ensure_future(put(hop.session, query))
    while not asking.done():
        await hop.run()
        if not asking.done():
            await asyncio.sleep(0.1)
    return asking.result()


async def end(hop: Hop) -> None:
    assert len(hop.served._queries) == 0
    await hop.end()


@dialogue
async def test_a_query_and_its_reply():
    heard: list[Query] = []
    hop = hop_with(saying(Reply(200, b'{"links":[]}\n'), heard))
    assert await carried(hop) == Reply(200, b'{"links":[]}\n')
    assert heard == [LINKS]
    hop.serving.operator = saying(Reply(410, b""))
    assert await carried(hop) == Reply(410, b"")
    assert (hop.session.stream_count, hop.owner.stream_count) == (0, 0)
    await end(hop)


@dialogue
async def test_a_node_that_drains_still_answers():
    hop = hop_with(saying(Reply(200, b"{}")))
    hop.serving.is_draining = True
    assert (await carried(hop)).status == 200
    await end(hop)


@dialogue
async def test_a_long_reply_comes_whole_and_one_above_the_bound_does_not():
    body = bytes(range(256)) * 4096 * 8
    assert len(body) == REPLY_BYTES
    hop = hop_with(saying(Reply(200, body)))
    assert (await carried(hop)).body == body
    hop.serving.operator = saying(Reply(200, body + b"x"))
    with pytest.raises(MessageTooLargeError, match="ask for fewer rows"):
        await carried(hop)
    await end(hop)


@dialogue
async def test_bytes_cut_anywhere():
    hop = Hop(cut=lambda data: [data[at : at + 1] for at in range(len(data))])
    hop.serving.operator = saying(Reply(200, b"{}"))
    assert await carried(hop) == Reply(200, b"{}")
    await end(hop)


@dialogue
async def test_nobody_answers():
    hop = Hop()
    with pytest.raises(TunnelError, match="answers no queries for the operator"):
        await carried(hop)
    await end(hop)


@dialogue
async def test_an_api_that_fails_is_no_answer_and_ends_nothing_else(caplog: pytest.LogCaptureFixture):
    async def operator(_: Query) -> Reply:
        raise ZeroDivisionError

    hop = hop_with(operator)
    with pytest.raises(TunnelError, match="internal error"):
        await carried(hop)
    assert "node asker: a query failed" in caplog.text
    hop.serving.operator = saying(Reply(200, b"{}"))
    assert (await carried(hop)).status == 200
    await end(hop)


@dialogue
async def test_one_that_takes_too_long_is_ended():
    ended: list[str] = []

    async def operator(_: Query) -> Reply:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")
        return Reply(200, b"")

    hop = hop_with(operator)
    with pytest.raises(ServiceSlowError, match=f"not answered within {SECONDS:g} s"):
        await carried(hop)
    assert ended == ["ended"]
    await end(hop)


@dialogue
async def test_an_asking_node_that_leaves_ends_its_query():
    ended: list[str] = []

    async def operator(_: Query) -> Reply:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")
        return Reply(200, b"")

    hop = hop_with(operator)
    asking = asyncio.ensure_future(put(hop.session, LINKS))
    await hop.run()
    assert len(hop.served._queries) == 1
    asking.cancel()
    await hop.run()
    assert ended == ["ended"]
    assert asking.cancelled()
    await end(hop)


@dialogue
async def test_a_link_that_ends_is_no_answer_and_leaves_nothing():
    async def operator(_: Query) -> Reply:
        await asyncio.sleep(3600)
        return Reply(200, b"")

    hop = hop_with(operator)
    asking = asyncio.ensure_future(put(hop.session, LINKS))
    await hop.run()
    hop.near.lose()
    await hop.run()
    with pytest.raises(LinkLostError):
        await asking
    assert len(hop.served._queries) == 0
    assert (hop.account.held_bytes, hop.owner_account.held_bytes) == (0, 0)


@dialogue
async def test_so_many_at_once_and_no_more():
    gate = asyncio.Event()

    async def operator(_: Query) -> Reply:
        await gate.wait()
        return Reply(200, b"{}")

    hop = hop_with(operator)
    asking = [asyncio.ensure_future(put(hop.session, LINKS)) for _ in range(RUNNING)]
    await hop.run()
    with pytest.raises(NodeBusyError):
        await carried(hop)
    gate.set()
    await hop.run()
    assert [one.result().status for one in asking] == [200] * RUNNING
    await end(hop)


BAD = {
    "no JSON": (b"hello", "the query cannot be read: "),
    "nothing": (b"", "the query cannot be read: "),
    "a later version": (b'{"v":2,"method":"GET","target":"/"}', "it has version 2"),
    "no target": (b'{"v":1,"method":"GET"}', "missing required field `target`"),
    "too long": (bytes(QUERY_BYTES + 1), "the query has more than"),
}


@pytest.mark.parametrize(("data", "why"), BAD.values(), ids=BAD)
@dialogue
async def test_bad_queries(data: bytes, why: str):
    heard: list[Query] = []
    hop = hop_with(saying(Reply(200, b"{}"), heard))
    stream = hop.session.open_stream()
    got: list[bytes] = []

    class Owner:
        def data_received(self, data: bytes, /) -> None:
            got.append(data)

        def end_received(self) -> None: ...

        def stream_lost(self, _: TunnelError, /) -> None: ...

        def stream_writable(self) -> None: ...

    stream.owner = Owner()
    stream.write(encode(OPERATOR) + data)
    stream.write_end()
    await hop.run()
    assert b"".join(got)[:1] == b"\x04"
    assert why in b"".join(got).decode("latin-1")
    assert heard == []
    await end(hop)


def test_a_query_of_the_next_version_is_read():
    assert read(encoded(LINKS)[:-1] + b',"more":[1]}') == LINKS


@dialogue
async def test_a_query_that_never_ends_has_a_deadline():
    hop = hop_with(saying(Reply(200, b"{}")))
    stream = hop.session.open_stream()
    stream.write(encode(OPERATOR) + b"{")
    await hop.run()
    assert len(hop.served._queries) == 1
    await asyncio.sleep(SECONDS + 0.1)
    await hop.run()
    await end(hop)


@dialogue
async def test_an_older_node_is_told_from_one_that_fails(monkeypatch: pytest.MonkeyPatch):
    def feed(_: PreambleDecoder, __: bytes) -> None:
        raise PreambleError("the cluster is empty or too long")

    hop = hop_with(saying(Reply(200, b"{}")))
    monkeypatch.setattr(PreambleDecoder, "feed", feed)
    with pytest.raises(TunnelError, match="of a release that answers no queries"):
        await carried(hop)
    await hop.end()


@dialogue
async def test_a_query_that_is_too_long_is_not_sent():
    hop = Hop()
    with pytest.raises(MessageTooLargeError):
        await put(hop.session, Query(method="GET", target="/" + "x" * QUERY_BYTES))
    await hop.end()

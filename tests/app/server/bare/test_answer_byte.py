"""The owner's answer to the asking node: through, or refused, before any other byte."""

import asyncio

import pytest

from app.server.bare.connection import AHEAD_BYTES
from app.server.bare.door import BareDoor
from tests.app.server.bare.hop import BOTH, GET, Hop, Writer
from tests.fakes.pipe import PipeEnd
from tests.tunnel.gateway.proxied.agent import TARGET, Stage, conversation
from tunnel.errors import LinkLostError, RequestRefusedError, TunnelError


@BOTH
@conversation
async def test_through_is_said_once_the_exchange_is_open(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    assert hop.answers == []
    hop.near.write(GET[:10])
    await hop.settle()
    assert hop.answers == [], "nothing is known of it yet"
    hop.near.write(GET[10:])
    await hop.settle()
    assert hop.answers == [None]
    assert hop.service.requests == 1
    assert hop.far.written == b""
    await hop.end()


@BOTH
@conversation
async def test_the_head_may_have_come_with_the_preamble(stage: Stage, kind: str):
    near, far = PipeEnd.pair(stage.account)
    agent = stage.agent(kind)
    far.received += GET
    answers: list[TunnelError | None] = []
    door = BareDoor(stage.account, asyncio.get_running_loop())
    near.owner = Writer()
    door.attach(far, agent.carrier.upstream(TARGET), answers.append, peer="n1", early=GET)
    assert answers == [None]
    assert far.acknowledged == len(GET)
    near.reset()
    await asyncio.sleep(0.1)
    assert not door.connections


REFUSED = [
    ("what the dialect cannot carry", b"GET /a%2Fb HTTP/1.1\r\nhost: h\r\n\r\n", "encoded slash"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "the method is not a token"),
    ("two lengths", b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "Content-Length"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", "Host"),
    ("an upgrade with a body",
     (b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "
      b"dGhlIHNhbXBsZSBub25jZQ==\r\ncontent-length: 1\r\n\r\nx"), "an upgrade has no body"),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("sent", "why"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
@conversation
async def test_a_refusal_comes_before_the_answer_and_nothing_is_passed_on(
    stage: Stage, kind: str, sent: bytes, why: str
):
    hop = Hop(stage, kind)
    hop.near.write(sent)
    await hop.settle()
    (error,) = hop.answers
    assert isinstance(error, RequestRefusedError)
    assert why in str(error)
    assert hop.far.written == b"", "neither a page nor a status"
    assert hop.far.has_ended
    assert hop.service.requests == 0
    await hop.end()


@BOTH
@conversation
async def test_a_link_that_is_lost_is_a_refusal(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    assert hop.agent is not None
    hop.agent.lose()
    hop.near.write(GET)
    await hop.settle()
    assert [type(error) for error in hop.answers] == [LinkLostError]
    assert hop.far.has_ended
    await hop.end()


@BOTH
@conversation
async def test_a_head_that_the_asking_node_may_not_finish_yet_is_let_through(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    hop.near.write(GET[:-2] + b"x-long: " + b"x" * (AHEAD_BYTES - 100))
    await hop.settle()
    assert hop.answers == []
    hop.near.write(b"x" * 100)
    await hop.settle()
    assert (hop.answers, hop.service.requests) == ([None], 0)
    hop.near.write(b"\r\n\r\n")
    await hop.settle()
    assert hop.service.requests == 1
    await hop.end()

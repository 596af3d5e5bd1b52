"""Whatever an agent sends and a door does, in whatever order: only documented errors, and nothing held afterwards.

The sink checks the order of its own calls. `conversation` checks that no task, timer, byte or exchange is left.
"""

import asyncio
import base64
import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Agent, Door, Stage, conversation, frame, opened
from tunnel.http1 import BodyLengthError
from tunnel.port import Exchange
from tunnel.wire import messages

_DATA = st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())
_WEBSOCKET_DATA = st.builds(
    lambda kind, data: base64.b64encode(bytes((kind,)) + data).decode(),
    st.sampled_from([1, 2, 8, 9, 10, 7]),
    st.sampled_from([b"", b"x", b"\x03\xe8", b"\x0f\xa1bye", b"\xff\xff"]),
)
_HEADERS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["Content-Length", "A", "bad name", "Sec-Websocket-Protocol", "Connection"]),
        st.one_of(st.sampled_from(["3", "chat.v1", "x\r\ny"]), st.lists(st.sampled_from(["3", "0", "A"]), max_size=2)),
        max_size=3,
    ),
)
_STATUS = st.sampled_from([200, 101, 101, 204, 304, 403, 502, 99, 0, 1000, "200", None])
_TYPES = st.sampled_from(
    [
        "proxy_response_header", "proxy_response_header", "proxy_response_chunk", "proxy_response_end",
        "proxy_response_abort", "proxy_error", "proxy_response", "proxy_websocket_data", "ws_data",
        "proxy_websocket_close", "backpressure", "proxy_stream_chunk", "proxy_stream_close", "pong",
    ]
)  # fmt: skip
_PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "status": _STATUS,
        "headers": _HEADERS,
        "data": st.one_of(_DATA, _WEBSOCKET_DATA, st.sampled_from(["YQ", 5, None])),
        "body": _DATA,
        "encoding": st.sampled_from(["base64", "gzip", "", "br"]),
        "error": st.sampled_from(["", "service request failed: x: context deadline exceeded"]),
        "reason": st.sampled_from(["", "gone"]),
    },
)
_SAYS = st.tuples(st.just("say"), st.integers(0, 3), _TYPES, st.one_of(_PAYLOADS, st.sampled_from([None, [], "x"])))
_BINARY = st.tuples(st.just("binary"), st.integers(0, 3), st.sampled_from([200, 101, 0]), _HEADERS)
_DOES = st.tuples(
    st.sampled_from(["pause", "resume", "reset", "end", "send", "close", "turn", "lose", "tick"]), st.integers(0, 3)
)
_STEPS = st.lists(st.one_of(_SAYS, _SAYS, _SAYS, _BINARY, _DOES), max_size=25)


class Scene:
    """Two requests and two WebSockets on one link, one of them open, and a second link of the same cluster."""

    def __init__(self, stage: Stage, dialect: str) -> None:
        self.agents: list[Agent] = [stage.agent(dialect), stage.agent(dialect)]
        get, _ = opened(self.agents[0])
        post, _ = opened(self.agents[0], b"POST", length=None)
        self.doors = [Door(self.agents[0]) for _ in range(2)]
        self.exchanges: list[Exchange] = [get, post, *(door.exchange for door in self.doors)]
        self.ids = [exchange.request_id for exchange in self.exchanges]  # type: ignore[attr-defined]
        self.agent = self.agents[0]
        self.agent.switch(self.ids[3])

    async def step(self, kind: str, which: int, *rest: Any) -> None:
        exchange = self.exchanges[which]
        match kind:
            case "say":
                message = {"type": rest[0], "request_id": self.ids[which], "payload": rest[1]}
                if rest[0].startswith("proxy_stream") and isinstance(rest[1], dict):
                    message |= rest[1]
                self.agent.say_text(json.dumps(message))
            case "binary":
                self.agent.carrier.bytes_received(frame(self.ids[which], rest[0], rest[1], b"body"))
            case "send":
                exchange.send_data(self.doors[which - 2].codec.send_message(b"x" * 300) if which > 1 else b"x" * 300)
            case "close":
                if which > 1:
                    exchange.send_data(self.doors[which - 2].codec.close(4001, "bye"))
            case "lose":
                self.agents[0].lose()
                self.agent = self.agents[1]
            case "tick":
                self.agent.carrier.tick(self.agent.carrier.clock() + 1.0)
            case "turn":
                await quiet()
                self.agent.hear()
            case _:
                getattr(exchange, kind)()


@conversation
async def play(stage: Stage, dialect: str, steps: list[tuple[Any, ...]]) -> None:
    scene = Scene(stage, dialect)
    for step in steps:
        with contextlib.suppress(messages.MessageError, BodyLengthError):
            await scene.step(*step)
    for exchange in scene.exchanges:
        exchange.resume()
    await quiet()
    for exchange in scene.exchanges:
        exchange.reset()
        assert exchange.held_bytes == 0
    for agent in scene.agents:
        for _ in range(4):  # what was closed by its client parts in steps
            await asyncio.sleep(0.5)
            agent.hear()
            agent.carrier.tick(agent.carrier.clock())


@examples(250)
@given(dialect=st.sampled_from(["json", "chunk"]), steps=_STEPS)
def test_any_order_of_anything(dialect: str, steps: list[tuple[Any, ...]]):
    play(dialect, steps)


@conversation
async def answer_in_pieces(stage: Stage, body: bytes, cuts: list[int], pauses: list[bool]) -> None:
    agent = stage.agent()
    exchange, sink = opened(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    pausing = iter([*pauses, *[False] * 100])
    sink.on_call = lambda name: exchange.pause() if name == "data" and next(pausing, False) else None
    agent.header(request_id, 200, Content_Length=str(len(body)))
    borders = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in itertools.pairwise(borders):
        agent.chunk(request_id, body[start:end])
    agent.end(request_id)
    while sink.outcome == "open":
        await quiet()
        exchange.resume()
    assert (sink.body, sink.outcome) == (body, "end")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 199), max_size=8), st.lists(st.booleans(), max_size=8))
def test_a_body_in_any_pieces(body: bytes, cuts: list[int], pauses: list[bool]):
    answer_in_pieces(body, cuts, pauses)


@conversation
async def sink_told_after_its_end(stage: Stage) -> None:
    agent = stage.agent()
    exchange, sink = opened(agent)
    sink.end()
    agent.abort(exchange.request_id, "late")  # type: ignore[attr-defined]


def test_a_call_after_the_end_would_be_seen():
    with pytest.raises(AssertionError, match="after the end"):
        sink_told_after_its_end()

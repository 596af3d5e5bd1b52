"""HTTP over a stream between nodes: the asking node sees the same behind a raw stream and behind the bare door."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from tests.app.server.bare.hop import CHUNK, FIELDS, JSON, RAW, Hop
from tests.app.server.bare.services import Service
from tests.fakes.pipe import FRAME_BYTES
from tests.tunnel.gateway.proxied.agent import Stage, conversation
from tunnel.port import Exchange, Headers

LONG = bytes(range(256)) * 4 * 1024
"""1 MiB."""
Play = Callable[[Hop, Service, Exchange], Awaitable[None]]


class Seen(NamedTuple):
    """What both ends made of it."""

    statuses: list[int]
    fields: list[tuple[bytes, bytes]]
    body: bytes
    outcome: str
    fate: str
    method: str
    target: str
    asked: list[tuple[str, str]]
    sent: bytearray
    complete: bool


@dataclass
class Case:
    """A request, and what its service does. `shows`: statuses, size of the body, outcome, what became of the stream."""

    name: str
    play: Play
    shows: tuple[list[int], int, str, str]
    method: bytes = b"GET"
    target: bytes = b"/a?b=1"
    body: list[bytes] = field(default_factory=list)
    length: int | None = 0
    fields: Headers = field(default_factory=list)
    sends: bool = True
    """The client sends its body at once."""


def answer(status: int = 200, *pieces: bytes, fields: Headers | None = None) -> Play:
    """A whole answer, piece by piece."""

    async def play(hop: Hop, service: Service, _exchange: Exchange) -> None:
        service.head(status, fields)
        await hop.settle()
        for piece in pieces:
            service.data(piece)
            await hop.settle()
        service.end()

    return play


async def at_once(_hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.head(200, [(b"content-length", b"5"), (b"content-type", b"text/plain")])
    service.data(b"hello")
    service.end()


async def vanishes_before(_hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.vanish()


async def vanishes_midway(hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.head(200, [(b"content-length", b"10")])
    service.data(b"hello")
    await hop.settle()
    service.vanish()


async def vanishes_in_chunks(hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.head(200)
    service.data(b"hello")
    await hop.settle()
    service.vanish()


async def is_left_before(hop: Hop, service: Service, exchange: Exchange) -> None:
    exchange.reset()
    await hop.settle()
    assert service.left


async def is_left_midway(hop: Hop, service: Service, exchange: Exchange) -> None:
    service.head(200)
    service.data(b"hello")
    await hop.settle()
    await is_left_before(hop, service, exchange)


async def slowly_read(hop: Hop, service: Service, exchange: Exchange) -> None:
    """The client takes nothing until all is sent, and then all of it."""
    service.head(200, [(b"content-length", b"%d" % len(LONG))])
    await hop.settle()
    exchange.pause()
    for at in range(0, len(LONG), 32 * 1024):
        service.data(LONG[at : at + 32 * 1024])
    service.end()
    await hop.settle()
    assert len(hop.near.received) < 300_000, "one window"
    exchange.resume()


async def answered_early(_hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.head(413, [(b"content-length", b"3")])
    service.data(b"big")
    service.end()


async def events(hop: Hop, service: Service, _exchange: Exchange) -> None:
    service.head(200, [(b"content-type", b"text/event-stream")])
    for number in range(5):
        before = len(hop.near.received)
        service.data(b"data: %d\n\n" % number)
        await hop.settle()
        assert len(hop.near.received) > before, "each as it comes"
    service.end()


OK5 = [(b"content-length", b"5"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-own", b"v")]
BIG = [LONG[at : at + 60_000] for at in range(0, len(LONG), 60_000)] * 6  # more than is collected in one message

CASES = [
    Case("a length", answer(200, b"he", b"llo", fields=OK5), ([200], 5, "end", "idle")),
    Case("at once", at_once, ([200], 5, "end", "idle")),
    Case("chunks", answer(200, b"he", b"llo"), ([200], 5, "end", "idle")),
    Case("no body", answer(200, fields=[(b"content-length", b"0")]), ([200], 0, "end", "idle")),
    Case("204", answer(204), ([204], 0, "end", "idle")),
    Case("304", answer(304, fields=[(b"etag", b'"x"')]), ([304], 0, "end", "idle")),
    Case("304 with a length", answer(304, fields=[(b"content-length", b"9")]), ([304], 0, "end", "idle")),
    Case("HEAD", answer(200, fields=[(b"content-length", b"7")]), ([200], 0, "end", "idle"), method=b"HEAD"),
    Case("HEAD, no length", answer(200), ([200], 0, "end", "idle"), method=b"HEAD"),
    Case("404", answer(404, b"no"), ([404], 2, "end", "idle")),
    Case("500", answer(500, b"no"), ([500], 2, "end", "idle")),
    Case("302", answer(302, fields=[(b"location", b"/b"), (b"content-length", b"0")]), ([302], 0, "end", "idle")),
    Case("1 MiB", answer(200, LONG), ([200], len(LONG), "end", "idle")),
    Case("1 MiB with a length", answer(200, LONG, fields=[(b"content-length", b"1048576")]),
         ([200], len(LONG), "end", "idle")),
    Case("events", events, ([200], 45, "end", "idle")),
    Case("a slow reader", slowly_read, ([200], len(LONG), "end", "idle")),
    *[Case(method.decode(), answer(200, b"ok"), ([200], 2, "end", "idle"), method=method)
      for method in (b"OPTIONS", b"DELETE", b"TRACE", b"PROPFIND")],
    *[Case(f"{method.decode()} with {len(body)} pieces, {length}", answer(201, b"ok"), ([201], 2, "end", "idle"),
           method=method, body=body, length=length)
      for method in (b"POST", b"PUT", b"PATCH", b"DELETE")
      for body, length in (([b"he", b"llo"], 5), ([b"he", b"llo"], None), ([], None))],
    Case("6 MiB with a length", answer(201, b"ok"), ([201], 2, "end", "idle"),
         method=b"POST", body=BIG, length=sum(map(len, BIG))),
    Case("6 MiB in chunks", answer(201, b"ok"), ([201], 2, "end", "idle"), method=b"POST", body=BIG, length=None),
    Case("early answer", answered_early, ([413], 3, "end", "closed"),
         method=b"POST", body=[b"x" * 1000], length=10_000_000),
    Case("early answer in chunks", answered_early, ([413], 3, "end", "closed"),
         method=b"POST", body=[b"x" * 5_000_000], length=None, sends=False),
    Case("vanishes at once", vanishes_before, ([], 0, "ServiceUnreachableError", "closed")),
    Case("vanishes midway", vanishes_midway, ([200], 5, "ServiceBrokeOffError", "closed")),
    Case("vanishes in chunks", vanishes_in_chunks, ([200], 5, "ServiceBrokeOffError", "closed")),
    Case("is left before the answer", is_left_before, ([], 0, "open", "closed")),
    Case("is left midway", is_left_midway, ([200], 5, "open", "closed")),
]  # fmt: skip


async def play(stage: Stage, kind: str, case: Case, frame_bytes: int = FRAME_BYTES) -> Seen:
    hop = Hop(stage, kind)
    hop.near.frame_bytes = hop.far.frame_bytes = frame_bytes
    fields = [*FIELDS, *case.fields]
    if case.length:
        fields.append((b"content-length", b"%d" % case.length))
    exchange, sink = hop.ask(case.method, case.target, fields, length=case.length)
    if case.sends and (case.body or case.length is None):
        await hop.upload(exchange, sink, *case.body, length=case.length)
    elif case.body:
        exchange.send_data(case.body[0])
    await hop.settle()
    heard = hop.service.heard
    await case.play(hop, hop.service, exchange)
    await hop.settle()
    assert hop.answers == ([] if kind == RAW else [None])
    told = [(name.lower(), value) for name, value in (sink.heads[-1].headers if sink.heads else [])]
    seen = Seen(
        sink.statuses, told, sink.body, sink.outcome, hop.fates[-1],
        heard.method, heard.target, heard.fields, heard.body if heard.complete else bytearray(), heard.complete,
    )  # fmt: skip
    await hop.end()
    return seen


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@conversation
async def test_it_is_the_same(stage: Stage, case: Case):
    raw = await play(stage, RAW, case)
    assert (raw.statuses, len(raw.body), raw.outcome, raw.fate) == case.shows
    for kind in (JSON, CHUNK):
        bare = await play(stage, kind, case)
        assert bare == raw


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("case", [case for case in CASES if sum(map(len, case.body)) < 100], ids=lambda case: case.name)
@conversation
async def test_however_it_is_cut(stage: Stage, case: Case, size: int):
    if case.shows[1] > 100:
        size *= 4_096  # a long answer, in pieces of a page
    whole = await play(stage, JSON, case)
    assert await play(stage, JSON, case, frame_bytes=size) == whole

"""Bytes over a peer link: back-pressure, what goes ahead of the answer, any cuts and any ends, and what is left."""

import gc
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cluster.peer.preamble import AnswerDecoder, Preamble, encode
from app.cluster.peer.splice import AHEAD_BYTES, Splice, _Half
from tests.app.cluster.peer.hop import OK, Hop
from tests.fakes.loop import dialogue, quiet
from tests.fakes.sink import FakeSink
from tunnel.errors import (
    TunnelError,
)
from tunnel.gateway.yamux import YamuxStream


@dialogue
async def test_at_most_64_kib_go_ahead_of_the_answer_and_all_of_it_follows():
    hop = Hop()
    exchange, sink = hop.ask(b"POST", length=500_000)
    hop.far.frozen = True  # the answer does not arrive
    assert exchange.send_data(bytes(100_000)) is False
    await quiet()
    [splice] = hop.serving.running
    assert splice.from_node.passed_bytes + len(encode(hop.wanted[0])) == AHEAD_BYTES
    assert sink.calls == []
    hop.far.thaw()
    await hop.run()
    assert sink.calls == ["writable"]
    exchange.send_data(bytes(400_000))
    await hop.run()
    head, _, body = hop.line.stream()[1].data.partition(b"\r\n\r\n")
    assert head.startswith(b"POST / ")
    assert len(body) == 500_000
    hop.answer(OK)
    await hop.run()
    assert sink.outcome == "end"
    await hop.end()


@dialogue
async def test_a_reader_that_never_reads_holds_one_window_at_either_node():
    hop = Hop()
    sink = FakeSink()
    exchange, _ = hop.ask(sink=sink)
    sink.on_call = lambda name: exchange.pause() if name == "data" else None
    await hop.run()
    stream_id, _ = hop.line.stream()
    size = 4_000_000
    hop.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size // 50_000):
        hop.line.peer.session.send_data(stream_id, bytes(50_000))
    await hop.run()
    window = 262_144
    assert hop.account.held_bytes <= window
    assert hop.owner_account.held_bytes <= window + 65_536
    assert hop.line.peer.session.buffered(stream_id) > 3_000_000  # the service waits
    sink.on_call = None
    exchange.resume()
    await hop.run()
    assert (len(sink.body), sink.outcome) == (size, "end")
    await hop.end()


@dialogue
async def test_a_service_that_never_reads_holds_one_window():
    hop = Hop()
    hop.line.peer.acknowledges = False
    exchange, sink = hop.ask(b"POST", length=None)
    written = 0
    while exchange.send_data(bytes(60_000)):
        written += 60_000
        await hop.run()
    await hop.run()
    assert written < 1_000_000
    assert hop.owner_account.held_bytes <= 262_144 + 65_536
    assert hop.account.held_bytes <= 65_536 + 60_100
    exchange.reset()
    await hop.run()
    assert hop.line.stream()[1].was_reset
    assert sink.outcome == "open"
    await hop.end()


def _cutter(sizes: list[int]):
    def cut(data: bytes) -> list[bytes]:
        pieces, at, number = [], 0, 0
        while at < len(data):
            size = sizes[number % len(sizes)]
            pieces.append(data[at : at + size])
            at, number = at + size, number + 1
        return pieces

    return cut


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    bodies=st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 90_000)), min_size=1, max_size=4),
)
def test_bodies_pass_unchanged_however_the_wire_is_cut(sizes: list[int], bodies: list[tuple[int, int]]):
    _bodies_pass(sizes, bodies)


@dialogue
async def _bodies_pass(sizes: list[int], bodies: list[tuple[int, int]]):
    hop = Hop(cut=_cutter([size * 50 if sum(map(sum, bodies)) > 20_000 else size for size in sizes]))
    asked = []
    for number, (up, _) in enumerate(bodies):
        exchange, sink = hop.ask(b"POST", length=None, path=b"/%d" % number)
        if up:
            exchange.send_data(bytes(at % 251 for at in range(up)))
        exchange.end()
        asked.append(sink)
    await hop.run()
    for place, (_, stream) in enumerate(hop.line.peer.streams.items()):
        head, _, body = stream.data.partition(b"\r\n\r\n")
        up, down = bodies[int(head.split()[1][1:])]
        assert body == (b"%x\r\n%b\r\n" % (up, bytes(at % 251 for at in range(up))) if up else b"") + b"0\r\n\r\n"
        hop.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % down + b"x" * down, place)
    await hop.run()
    for sink, (_, down) in zip(asked, bodies, strict=True):
        assert (sink.outcome, len(sink.body)) == ("end", down)
    await hop.end()


class End:
    """One end of a raw hop: what it was told, and whether it reads."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write
        self.sent = b""
        self.received = b""
        self.ended = self.was_reset = False


STEPS = st.lists(
    st.sampled_from(["up", "down", "up large", "down large", "end up", "end down", "reset up", "reset down", "run"]),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, sizes=st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_whatever_both_ends_do_bytes_keep_their_order_and_ends_arrive(steps: list[str], sizes: list[int]):
    _both_ends_do(steps, sizes)


@dialogue
async def _both_ends_do(steps: list[str], sizes: list[int]):
    hop = Hop(cut=_cutter([size * 50 for size in sizes] if any("large" in step for step in steps) else sizes))
    stream = hop.session.open_stream()
    up, down = End(stream.write), End(lambda data: service.send_data(stream_id, data))
    service = hop.line.peer.session
    owner = stream.owner = _Recorder(stream, down)
    stream.write(encode(Preamble("c1", "apps", "web", 80)))
    await hop.run()
    stream_id, far = hop.line.stream()
    for number, step in enumerate(steps):
        what, _, which = step.partition(" ")
        end = {"up": up, "down": down}.get(what if what in {"up", "down"} else which, up)
        if what in {"up", "down"} and not end.ended and not end.was_reset and not owner.is_lost and not far.was_reset:
            data = bytes([number]) * (150_000 if which else 7)
            end.sent += data
            end.write(data)
        elif step == "end up":
            up.ended = True
            stream.write_end()
        elif step == "end down" and not far.was_reset:
            down.ended = True
            service.end_stream(stream_id)
        elif step == "reset up":
            up.was_reset = True
            stream.reset()
        elif step == "reset down":
            down.was_reset = True
            service.reset_stream(stream_id)
        elif step == "run":
            await hop.run()
        if down.was_reset or up.was_reset:
            break
    await hop.run()
    broken = up.was_reset or down.was_reset
    assert up.sent.startswith(far.data)
    assert down.sent.startswith(down.received)
    assert broken or (far.data, down.received) == (up.sent, down.sent)
    assert broken or (far.ended, owner.has_ended) == (up.ended, down.ended)
    both_ended = up.ended and down.ended
    assert down.was_reset or not owner.is_lost
    assert owner.is_lost or up.was_reset or both_ended or not down.was_reset
    if broken or both_ended:
        assert hop.owner.stream_count == hop.session.stream_count == hop.line.link.active == 0
    stream.reset()
    await hop.end()


class _Recorder:
    """Owns the asking node's stream, and reads all that comes."""

    def __init__(self, stream: YamuxStream, end: End) -> None:
        self.stream = stream
        self.end = end
        self.answer: AnswerDecoder | None = AnswerDecoder()
        self.has_ended = self.is_lost = False

    def data_received(self, data: bytes, /) -> None:
        self.stream.acknowledge(len(data))
        if self.answer is not None:
            if self.answer.feed(data) is None:
                return
            data, self.answer = self.answer.rest, None
        self.end.received += data

    def end_received(self) -> None:
        self.has_ended = True

    def stream_lost(self, error: TunnelError, /) -> None:
        self.is_lost = True

    def stream_writable(self) -> None: ...


@dialogue
async def test_nothing_of_a_hop_that_is_over_waits_for_the_collector():
    hop = Hop()
    kinds = Splice, _Half
    gc.collect()
    gc.disable()
    try:
        for end in ("both", "asking", "service"):
            exchange, _ = hop.ask(upgrade=True)
            await hop.run()
            if end == "asking":
                exchange.reset()
            elif end == "service":
                hop.line.peer.session.reset_stream(hop.line.stream()[0])
            else:
                hop.answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", end=True)
                await hop.run()
                exchange.end()
            await hop.run()
            assert [type(found).__name__ for found in gc.get_objects() if isinstance(found, kinds)] == [], end
    finally:
        gc.enable()
    await hop.end()

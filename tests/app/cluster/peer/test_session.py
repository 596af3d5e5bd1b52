"""A peer link's session: its pings, its end, its slices, and what only one of the two ends may do."""

import asyncio
from unittest import mock

import pytest

from app.cluster.peer.preamble import Preamble, encode
from app.cluster.peer.serving import PREAMBLE_SECONDS, Answer, Bare, BreakOff
from app.cluster.peer.session import DEAD_SECONDS
from tests.app.cluster.peer.hop import OK, Hop
from tests.fakes.loop import VirtualLoop, dialogue, quiet
from tunnel.errors import LinkLostError, NodeBusyError, NoSuchServiceError, TunnelError
from tunnel.port import Target
from tunnel.streams import ByteStream
from tunnel.yamux import Limits


async def open_raw(hop: Hop, data: bytes):
    """A stream of the asking node, with these first bytes."""
    stream = hop.session.open_stream()
    owner = stream.owner = mock.Mock(spec=["data_received", "end_received", "stream_lost", "stream_writable"])
    stream.write(data)
    await hop.run()
    return stream, owner


def received(owner: mock.Mock) -> bytes:
    return b"".join(call.args[0] for call in owner.data_received.call_args_list)


@dialogue
async def test_a_quiet_link_lives_on_pings():
    hop = Hop()
    for _ in range(20):
        await asyncio.sleep(1.0)
        assert hop.session.heard_seconds <= 1.1
    assert hop.session.is_open
    assert hop.session.session.rtt is not None
    await hop.end()


@dialogue
async def test_a_frozen_node_is_given_up_after_three_seconds_at_either_end():
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    hop.near.frozen = hop.far.frozen = True
    await asyncio.sleep(DEAD_SECONDS - 0.6)
    assert hop.session.is_open
    await asyncio.sleep(1.6)
    assert not hop.session.is_open
    assert "nothing was heard of the node for 3." in hop.session.reason
    assert hop.near.aborted
    assert sink.outcome == "LinkLostError"
    assert hop.asking.is_lost
    assert len(hop.closed) == 1
    await hop.run()
    assert (hop.account.held_bytes, hop.owner_account.held_bytes) == (0, 0)


@dialogue
async def test_a_process_that_stood_still_asks_before_it_gives_up():
    hop = Hop()
    await hop.run()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stand_still(30.0)
    await asyncio.sleep(2.0)
    assert hop.session.is_open
    assert hop.owner.is_open
    await hop.end()


@dialogue
async def test_many_requests_at_once_are_read_in_slices_and_a_batch_is_not_endless():
    hop = Hop()
    sinks = [hop.ask(fresh=True)[1] for _ in range(1000)]
    await hop.run()
    assert len(hop.line.peer.streams) == 1000
    for number in range(1000):
        hop.answer(OK, number)
    await hop.run()
    assert {sink.outcome for sink in sinks} == {"end"}
    await hop.end()


@dialogue
async def test_what_comes_in_one_large_piece_is_read_a_slice_a_turn():
    hop = Hop()
    exchange, _ = hop.ask(b"POST", length=200_000)
    await hop.run()
    hop.near.frozen = True
    exchange.send_data(bytes(200_000))
    await quiet()
    waiting = hop.near._buffer
    reads: list[int] = []
    with mock.patch.object(hop.owner, "_read", side_effect=lambda data, now: reads.append(len(data))):
        hop.owner.data_received(waiting * 3)
        assert not hop.far.reads
        hop.owner.data_received(b"more")
        await quiet()
    assert max(reads) <= 65_536
    assert sum(reads) == 3 * len(waiting) + 4
    assert hop.far.reads
    hop.near._buffer = waiting
    hop.near.thaw()
    exchange.reset()
    await hop.run()
    await hop.end()


@dialogue
async def test_the_owner_opens_no_streams():
    hop = Hop()
    stream = hop.owner.open_stream()
    owner = stream.owner = mock.Mock()
    stream.write(b"hello")
    await hop.run()
    owner.stream_lost.assert_called_once()
    await hop.end()


@dialogue
async def test_a_node_that_breaks_yamux_ends_its_link_and_nothing_else():
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    hop.owner.data_received(b"\x09" * 12)
    await hop.run()
    assert hop.closed == ["yamux: version 9"]
    assert sink.outcome == "LinkLostError"
    assert hop.line.stream()[1].was_reset
    with pytest.raises(LinkLostError):
        hop.upstream()


@dialogue
async def test_a_node_that_drains_gets_no_new_streams_and_running_ones_go_on():
    hop = Hop()
    _, idle = hop.ask()
    _, sink = hop.ask()
    await hop.run()
    hop.answer(OK, 0)
    await hop.run()
    assert idle.outcome == "end"
    hop.owner.refuse_streams()
    await hop.run()
    assert repr(hop.upstream()).endswith("1 busy, 0 idle>")
    with pytest.raises(LinkLostError):
        hop.ask()
    hop.answer(OK, 1)
    await hop.run()
    assert sink.outcome == "end"
    assert hop.session.stream_count == 0
    await hop.end()


@dialogue
async def test_a_node_without_room_for_streams_says_so_here():
    hop = Hop(limits=Limits(max_streams=1))
    hop.ask()
    with pytest.raises(TunnelError, match="no stream could be opened"):
        hop.ask()
    await hop.end()


@dialogue
async def test_a_preamble_that_does_not_come_has_a_deadline():
    hop = Hop()
    _, owner = await open_raw(hop, encode(Preamble("c1", "apps", "web", 80))[:10])
    await asyncio.sleep(PREAMBLE_SECONDS - 1)
    owner.stream_lost.assert_not_called()
    await asyncio.sleep(2)
    owner.stream_lost.assert_called_once()
    assert hop.owner.stream_count == 0
    await hop.end()


@pytest.mark.parametrize("ended", [True, False])
@dialogue
async def test_a_stream_that_ends_within_its_preamble(ended: bool):
    hop = Hop()
    stream, _ = await open_raw(hop, b"\x54\x01")
    stream.write_end() if ended else stream.reset()
    await hop.run()
    assert hop.owner.stream_count == hop.session.stream_count == 0
    assert hop.served._unread == {}
    await hop.end()


@dialogue
async def test_a_preamble_cut_anywhere_with_extensions_of_the_next_version():
    hop = Hop()
    preamble = encode(Preamble("c1", "apps", "web", 80))
    newer = preamble[:2] + b"\xf1" + preamble[3:-4] + b"\x00\x00\x03\xe8" + bytes(1000)
    stream, owner = await open_raw(hop, newer[:20])
    for piece in (newer[20:60], newer[60:700], newer[700:] + b"GET / HTTP/1.1\r\n\r\n"):
        stream.write(piece)
        await hop.run()
    assert hop.line.stream()[1].data == b"GET / HTTP/1.1\r\n\r\n"
    hop.answer(OK)
    await hop.run()
    assert received(owner) == b"\x00\x02a1\x01" + OK
    stream.reset()
    await hop.end()


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\x54\x02\x01", b"\x54\x01\x01\xff\xff"])
@dialogue
async def test_what_is_no_preamble_is_refused_and_nothing_passed_on(first: bytes):
    hop = Hop()
    _, owner = await open_raw(hop, first)
    assert received(owner).startswith(b"\x04")
    assert b"/bad preamble: " in received(owner)
    owner.stream_lost.assert_called_once()
    assert not hop.line.peer.streams
    assert hop.serving.refused == 1
    await hop.end()


class Doors:
    """A door of the owner's for links that carry no bytes."""

    def __init__(self, error: TunnelError | None = None) -> None:
        self.error = error
        self.early = b""
        self.received = b""

    def __call__(self, stream: ByteStream, early: bytes, answer: Answer, break_off: BreakOff) -> None:
        self.stream = stream
        self.break_off = break_off
        self.early = early
        stream.owner = self
        stream.acknowledge(len(early))
        answer(self.error)
        if self.error is None:
            stream.write(OK)
        else:
            stream.write_end()

    def data_received(self, data: bytes, /) -> None:
        self.received += data
        self.stream.acknowledge(len(data))

    def end_received(self) -> None:
        self.stream.write_end()

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None: ...


@dialogue
async def test_streams_of_other_dialects_go_to_the_owners_door():
    hop = Hop()
    door = Doors()
    hop.way = Bare(door, "a9", "json")
    _, sink = hop.ask(dialect="json")
    await hop.run()
    assert door.early == b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
    assert (sink.statuses, sink.body, sink.outcome) == ([200], b"ok", "end")
    assert (hop.upstream(dialect="json").agent_id, hop.upstream(dialect="json").dialect) == ("a9", "json")
    await hop.end()


@pytest.mark.parametrize("error", [NodeBusyError("full"), NoSuchServiceError("no web")])
@dialogue
async def test_a_door_may_refuse(error: TunnelError):
    hop = Hop()
    hop.way = Bare(Doors(error), "a9", "json")
    _, sink = hop.ask(dialect="json")
    await hop.run()
    assert type(sink.error) is type(error)
    assert hop.serving.refused == 1
    await hop.end()


@dialogue
async def test_a_door_that_breaks_off_says_why_after_what_it_had_written():
    hop = Hop()
    door = Doors()
    hop.way = Bare(door, "a9", "json")
    _, sink = hop.ask(b"HEAD", dialect="json", upgrade=True)
    await hop.run()
    assert sink.outcome == "end"
    _, sink = hop.ask(dialect="json", fresh=True)
    door.stream.write(OK[:30])
    door.break_off(LinkLostError("the agent is gone"))
    await hop.run()
    assert hop.session.stream_count == 1
    await hop.end()


@dialogue
async def test_a_door_takes_no_tls():
    hop = Hop()
    door = Doors()
    hop.way = Bare(door, "a9", "json")
    _, sink = hop.ask(to=Target("c1", "apps", "web", 443, scheme="https", verify=False))
    await hop.run()
    assert sink.outcome == "NotHereError"
    assert door.early == b""
    await hop.end()


@dialogue
async def test_counts_of_the_owner():
    hop = Hop()
    _, sink = hop.ask()
    await hop.run()
    assert hop.serving.passed_bytes == (32, 0)
    hop.answer(OK)
    await hop.run()
    assert sink.outcome == "end"
    assert hop.serving.passed_bytes == (32, len(OK))
    assert (hop.serving.opened, hop.serving.refused, len(hop.serving.running)) == (1, 0, 1)
    hop.session.close("end of the test")
    await hop.run()
    assert hop.serving.passed_bytes == (32, len(OK))
    assert len(hop.serving.running) == 0


@dialogue
async def test_a_link_says_how_it_is():
    hop = Hop()
    assert repr(hop.session).startswith("<PeerSession with owner, open, <Session client, open, 0 streams")
    assert hop.session.address == "192.0.2.7"
    hop.session.close("enough")
    hop.session.close("again")
    assert repr(hop.session).startswith("<PeerSession with owner, over: enough,")
    await hop.session.gone()

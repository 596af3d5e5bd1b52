"""One exchange's inbox: order over memory and files, and every bound at its border and one beyond."""

import asyncio

import anyio
import pytest

from tests.tunnel.gateway.proxied.spooling import RECORD, Bench, asynchronous, turns
from tunnel.gateway.proxied.inbox import BATCH_BYTES, BLOCK_BYTES, PIECE_BYTES, OverflowedError

# Memory


@asynchronous
async def test_pieces_come_in_order_with_their_kinds():
    bench = Bench(memory_bytes=4096)
    for kind, payload in ((1, b"head"), (255, b""), (0, b"x" * 100)):
        bench.inbox.deliver(kind, payload)
    assert bench.inbox.held_bytes == bench.account.held_bytes == 3 * PIECE_BYTES + 104
    assert repr(bench.inbox) == "<Inbox req-1 open, 488 held, 0 spooled>"
    assert [await bench.inbox.receive() for _ in range(3)] == [(1, b"head"), (255, b""), (0, b"x" * 100)]
    assert bench.account.held_bytes == 0
    assert not bench.hand.jobs
    await bench.ended()


@asynchronous
async def test_a_waiting_receiver_is_woken_by_a_piece_and_by_the_end():
    bench = Bench(memory_bytes=4096)
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    assert not task.done()
    bench.inbox.deliver(1, b"a")
    assert await task == (1, b"a")
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    bench.inbox.close()
    with pytest.raises(anyio.EndOfStream):
        await task


@pytest.mark.parametrize(
    ("pieces", "beyond"),
    [
        ([b"x" * (1024 - PIECE_BYTES)], b""),
        ([b""] * 8, b""),
        ([b"", b"x" * (1024 - 2 * PIECE_BYTES - 1)], b""),
        ([], b"x" * (1024 - PIECE_BYTES + 1)),
    ],
)
@asynchronous
async def test_memory_alone_is_filled_to_its_border_and_not_beyond(pieces: list[bytes], beyond: bytes):
    bench = Bench(memory_bytes=1024, limit_bytes=0)
    for piece in pieces:
        bench.inbox.deliver(1, piece)
    held = bench.inbox.held_bytes
    with pytest.raises(
        OverflowedError, match=rf"req-1 .* {held} bytes in memory \(bound 1024\), 0 spooled \(bound 10000"
    ):
        bench.inbox.deliver(1, beyond)
    assert [(await bench.inbox.receive()).payload for _ in pieces] == pieces
    with pytest.raises(OverflowedError):
        await bench.inbox.receive()
    assert not bench.hand.jobs
    await bench.ended()


@asynchronous
async def test_after_a_refusal_all_is_refused_so_that_there_is_no_gap():
    bench = Bench(memory_bytes=1024, limit_bytes=0)
    bench.inbox.deliver(1, b"a")
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"b" * 1024)
    assert await bench.inbox.receive() == (1, b"a")
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"c")
    assert repr(bench.inbox) == "<Inbox req-1 failed, 0 held, 0 spooled>"
    await bench.ended()
    with pytest.raises(anyio.EndOfStream):
        await bench.inbox.receive()


@asynchronous
async def test_a_waiting_receiver_hears_of_a_refusal():
    bench = Bench(memory_bytes=1024, limit_bytes=0)
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"b" * 1024)
    with pytest.raises(OverflowedError, match="req-1"):
        await task
    await bench.ended()


@asynchronous
async def test_receiving_what_is_there_gives_others_a_turn():
    bench = Bench(memory_bytes=1024 * PIECE_BYTES)
    for _ in range(1024):
        bench.inbox.deliver(1, b"")
    seen: list[str] = []

    async def receive() -> None:
        for _ in range(1024):
            await bench.inbox.receive()
        seen.append("received")

    async def other() -> None:
        seen.append("other")

    await asyncio.gather(receive(), other())
    assert seen == ["other", "received"]
    await bench.ended()


# Files


@asynchronous
async def test_order_holds_over_memory_segments_writing_and_gathering():
    bench = Bench(memory_bytes=PIECE_BYTES + 1)
    inbox = bench.inbox
    inbox.deliver(1, b"0")  # memory
    inbox.deliver(1, b"1")
    await bench.step()  # a segment
    inbox.deliver(1, b"2")  # writing
    inbox.deliver(1, b"3")  # gathering
    inbox.deliver(1, b"4")
    assert inbox.held_bytes == bench.account.held_bytes == PIECE_BYTES + 1 + 3 * (RECORD + 1)
    assert inbox.spooled_bytes == bench.disk.used_bytes == 4 * (RECORD + 1)
    inbox.close(discard=False)
    assert await bench.drained() == [b"0", b"1", b"2", b"3", b"4"]
    assert bench.account.held_bytes == 0
    await bench.ended()


@asynchronous
async def test_one_write_takes_all_that_gathered_and_a_drained_file_gives_way_to_memory():
    bench = Bench(memory_bytes=PIECE_BYTES + 1)
    for number in range(5):
        bench.inbox.deliver(1, b"%d" % number)
    assert len(bench.hand.jobs) == 1
    await bench.step()
    assert len(bench.hand.jobs) == 1
    await bench.step()
    assert not bench.hand.jobs
    assert bench.inbox.held_bytes == PIECE_BYTES + 1
    assert [(await bench.received()).payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert (bench.inbox.spooled_bytes, bench.disk.used_bytes) == (0, 0)
    assert all(file.closed for file in bench.disk.files)
    bench.inbox.deliver(1, b"5")
    assert bench.inbox.spooled_bytes == 0
    assert await bench.inbox.receive() == (1, b"5")
    await bench.ended()


@asynchronous
async def test_memory_takes_over_behind_a_block_that_is_still_being_received():
    bench = Bench(memory_bytes=3 * PIECE_BYTES)
    bench.inbox.deliver(1, b"0" * 2 * PIECE_BYTES)
    bench.inbox.deliver(1, b"1")
    bench.inbox.deliver(1, b"2")
    await bench.settle()
    assert (await bench.received()).payload == b"0" * 2 * PIECE_BYTES
    assert await bench.received() == (1, b"1")
    assert bench.inbox.spooled_bytes == 0
    bench.inbox.deliver(1, b"3")
    assert bench.inbox.spooled_bytes == 0
    assert await bench.inbox.receive() == (1, b"2")
    assert await bench.inbox.receive() == (1, b"3")
    await bench.ended()


@asynchronous
async def test_a_full_inbox_gives_its_files_back_one_by_one():
    bench = Bench(file_bytes=16 * 100, memory_bytes=0)
    for number in range(16):
        bench.inbox.deliver(number, b"x" * 95)
        await bench.settle()
    assert bench.inbox.spooled_bytes == 1600
    assert len(bench.disk.files) == 16
    assert (await bench.received()).kind == 0
    assert bench.inbox.spooled_bytes == bench.disk.used_bytes == 1500
    assert [file.closed for file in bench.disk.files] == [True] + [False] * 15
    bench.inbox.close(discard=False)
    assert len(await bench.drained()) == 15
    await bench.ended()


@pytest.mark.parametrize("size", [BLOCK_BYTES - RECORD, BLOCK_BYTES - RECORD + 1, 2 * BATCH_BYTES])
@asynchronous
async def test_a_piece_of_any_size_comes_back_whole(size: int):
    bench = Bench(file_bytes=10 * size, limit_bytes=10 * size)
    payloads = [bytes([number]) * size for number in range(3)]
    for payload in payloads:
        bench.inbox.deliver(1, payload)
        await bench.settle()
    bench.inbox.close(discard=False)
    assert await bench.drained() == payloads
    await bench.ended()


@asynchronous
async def test_a_large_piece_is_read_in_two_goes():
    bench = Bench(file_bytes=10 * BATCH_BYTES, limit_bytes=10 * BATCH_BYTES)
    bench.inbox.deliver(1, bytes(2 * BATCH_BYTES))
    await bench.settle()
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    await bench.step()
    assert not task.done()
    await bench.step()
    assert await task == (1, bytes(2 * BATCH_BYTES))
    await bench.ended()


@pytest.mark.parametrize(("written", "spare"), [(False, 0), (True, 0), (False, RECORD - 1), (True, RECORD - 1)])
@pytest.mark.parametrize("bound", ["file", "process"])
@asynchronous
async def test_files_are_filled_to_their_border_and_not_beyond(bound: str, written: bool, spare: int):
    size = 3 * (RECORD + 95) + spare
    other = 50  # what another inbox uses
    bench = Bench(file_bytes=size) if bound == "file" else Bench(file_bytes=10_000, limit_bytes=size + other)
    if bound == "process":
        assert bench.disk.reserve(other)
    for _ in range(3):
        bench.inbox.deliver(1, b"x" * 95)
        if written:
            await bench.settle()
    with pytest.raises(OverflowedError, match=r"300 spooled \(bound \d+; all: \d+ of \d+\)"):
        bench.inbox.deliver(1, b"")
    assert bench.disk.used_bytes == 300 + (other if bound == "process" else 0)
    for _ in range(3):
        assert await bench.received() == (1, b"x" * 95)
    with pytest.raises(OverflowedError):
        await bench.received()
    if bound == "process":
        bench.disk.release(other)
    await bench.ended()


@pytest.mark.parametrize("beyond", [0, 1])
@asynchronous
async def test_a_batch_is_gathered_to_its_border_and_not_beyond(beyond: int):
    bench = Bench(file_bytes=10 * BATCH_BYTES, limit_bytes=10 * BATCH_BYTES)
    bench.inbox.deliver(1, b"under way")
    bench.inbox.deliver(1, b"first")
    rest = b"x" * (BATCH_BYTES - 2 * RECORD - 5 + beyond)
    if beyond:
        with pytest.raises(OverflowedError):
            bench.inbox.deliver(1, rest)
    else:
        bench.inbox.deliver(1, rest)
        with pytest.raises(OverflowedError):
            bench.inbox.deliver(1, b"")
    await bench.ended()


@asynchronous
async def test_a_receiver_gets_what_gathered_without_the_disk_where_nothing_is_before_it():
    bench = Bench()
    bench.inbox.deliver(1, b"written")
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    assert len(bench.hand.jobs) == 1
    await bench.step()  # the write
    assert len(bench.hand.jobs) == 1
    bench.inbox.deliver(1, b"gathered")
    await bench.step()  # the read
    assert await task == (1, b"written")
    assert await bench.received() == (1, b"gathered")
    await bench.ended()


@asynchronous
async def test_a_receiver_does_not_wait_behind_a_busy_writer_nor_the_writer_behind_it():
    bench = Bench(file_bytes=10 * BATCH_BYTES, limit_bytes=10 * BATCH_BYTES)
    bench.inbox.deliver(1, b"0")
    await bench.settle()
    bench.inbox.deliver(2, b"1")  # writing
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    bench.inbox.deliver(3, b"x" * (BATCH_BYTES // 2 - RECORD))  # not above half: the read goes first
    await bench.step()
    await bench.step()
    assert await task == (1, b"0")
    assert await bench.inbox.receive() == (2, b"1")
    await bench.settle()
    bench.inbox.deliver(4, b"")  # writing
    task = asyncio.ensure_future(bench.inbox.receive())
    await turns()
    bench.inbox.deliver(5, b"x" * (BATCH_BYTES // 2 - RECORD + 1))  # above half: another write goes first
    await bench.step()
    await bench.step()
    assert not task.done()
    assert (await bench.received()).kind in {3, 4}
    bench.inbox.close(discard=False)
    await bench.drained()
    await bench.ended()

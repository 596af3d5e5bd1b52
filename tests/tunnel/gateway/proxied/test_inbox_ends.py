"""Every way to the end of one exchange's inbox: a failing disk, a cancelled receiver, closing in every state."""

import asyncio
import errno
from pathlib import Path

import anyio
import pytest

from tests.tunnel.gateway.proxied.spooling import RECORD, Bench, asynchronous, turns
from tunnel.account import Account
from tunnel.gateway.proxied.disk import Disk
from tunnel.gateway.proxied.inbox import PIECE_BYTES, Inbox, OverflowedError, Piece

OPEN = Path("/proc/self/fd")


# A failing disk


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("where", ["opening", "using"])
@asynchronous
async def test_a_disk_that_fails_ends_the_inbox_after_what_memory_holds(where: str, code: int):
    bench = Bench(memory_bytes=PIECE_BYTES + 1)
    bench.inbox.deliver(1, b"0")
    bench.inbox.deliver(1, b"1")
    bench.inbox.deliver(1, b"2")
    setattr(bench.disk, where, OSError(code, "out of order"))
    await bench.settle()
    assert bench.disk.usable
    assert (bench.inbox.held_bytes, bench.inbox.spooled_bytes) == (PIECE_BYTES + 1, 0)
    with pytest.raises(OverflowedError, match="out of order"):
        bench.inbox.deliver(1, b"3")
    assert await bench.received() == (1, b"0")
    with pytest.raises(OverflowedError, match="out of order"):
        await bench.received()
    await bench.ended()


@pytest.mark.parametrize("closed", [False, True])
@asynchronous
async def test_a_failing_read_ends_the_inbox_also_when_no_more_comes(closed: bool):
    bench = Bench()
    bench.inbox.deliver(1, b"0")
    await bench.settle()
    bench.disk.using = OSError(errno.EIO, "out of order")
    if closed:
        bench.inbox.close(discard=False)
    for _ in range(2):
        with pytest.raises(OverflowedError, match="out of order"):
            await bench.received()
    await bench.ended()


@asynchronous
async def test_a_write_that_fails_gives_up_the_segments_before_it():
    bench = Bench(memory_bytes=PIECE_BYTES + 1)
    bench.inbox.deliver(1, b"0")
    bench.inbox.deliver(1, b"1")
    await bench.settle()
    bench.inbox.deliver(1, b"2")
    bench.disk.opening = bench.disk.using = OSError(errno.EROFS, "read-only now")
    task = asyncio.ensure_future(bench.inbox.receive())
    assert await task == (1, b"0")
    with pytest.raises(OverflowedError, match="read-only now"):
        await bench.received()
    assert not bench.disk.usable
    assert bench.disk.files[0].closed
    await bench.ended()


@asynchronous
async def test_a_place_for_files_that_goes_away_takes_nothing_with_it():
    bench = Bench(file_bytes=160)
    bench.inbox.deliver(1, b"0" * 10)
    await bench.settle()
    bench.disk.opening = OSError(errno.EROFS, "read-only now")
    for number in (1, 2):
        bench.inbox.deliver(1, b"%d" % number * 10)
    await bench.settle()
    assert not bench.disk.usable
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"")
    assert [(await bench.received()).payload for _ in range(3)] == [b"0" * 10, b"1" * 10, b"2" * 10]
    await bench.ended()


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
@asynchronous
async def test_a_disk_that_fails_after_close_holds_nothing_back(code: int):
    bench = Bench()
    bench.disk.opening = OSError(code, "out of order")
    bench.inbox.deliver(1, b"writing")
    bench.inbox.deliver(1, b"gathering")
    bench.inbox.close()
    assert bench.inbox.held_bytes == RECORD + len(b"writing")
    await bench.ended()


@asynchronous
async def test_without_a_place_for_files_nothing_is_lost_and_memory_goes_on():
    bench = Bench(memory_bytes=PIECE_BYTES + 1)
    bench.disk.opening = OSError(errno.EROFS, "read-only")
    for number in range(3):
        bench.inbox.deliver(1, b"%d" % number)
    await bench.settle()
    assert not bench.disk.usable
    assert [(await bench.received()).payload for _ in range(3)] == [b"0", b"1", b"2"]
    assert bench.disk.used_bytes == 0
    bench.inbox.deliver(1, b"3")
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"4")
    assert await bench.received() == (1, b"3")
    assert not bench.hand.jobs
    await bench.ended()


@asynchronous
async def test_what_waited_for_a_disk_that_is_not_there_is_the_last_until_it_was_received():
    bench = Bench(memory_bytes=4 * PIECE_BYTES)
    bench.disk.opening = OSError(errno.EROFS, "read-only")
    bench.inbox.deliver(1, b"x" * 4 * PIECE_BYTES)
    await bench.settle()
    with pytest.raises(OverflowedError):
        bench.inbox.deliver(1, b"")
    assert (await bench.received()).payload == b"x" * 4 * PIECE_BYTES
    await bench.ended()


# Cancelling, closing


@pytest.mark.parametrize("place", ["memory", "gathered", "segment"])
@pytest.mark.parametrize("by", ["task", "scope"])
@asynchronous
async def test_a_cancelled_receive_loses_nothing(by: str, place: str):
    bench = Bench(memory_bytes=1000 if place == "memory" else 0)
    scope = anyio.CancelScope()

    async def receive() -> Piece | None:
        with scope:
            return await bench.inbox.receive()

    if place == "segment":
        bench.inbox.deliver(1, b"a")
        await bench.settle()
    task = asyncio.ensure_future(receive())
    await turns()
    assert not task.done()
    if place == "segment":
        bench.hand.step()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert bench.inbox._wake.is_set()
    else:
        bench.inbox.deliver(1, b"a")
    assert not task.done()  # it is woken, and cancelled before it runs
    bench.inbox.deliver(1, b"b")
    if by == "task":
        task.cancel()
    else:
        scope.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == (by == "task")
    taken = None if task.cancelled() else task.result()
    bench.inbox.close(discard=False)
    assert ([] if taken is None else [taken.payload]) + await bench.drained() == [b"a", b"b"]
    await bench.ended()


@pytest.mark.parametrize("state", ["fresh", "memory", "writing", "gathering", "written", "reading", "block", "failed"])
@asynchronous
async def test_close_frees_all_in_every_state_and_again(state: str):
    bench = Bench(memory_bytes=1000 if state == "memory" else 0, file_bytes=30 if state == "failed" else 10_000)
    inbox = bench.inbox
    task = None
    if state != "fresh":
        inbox.deliver(1, b"a")
    if state not in {"fresh", "memory", "writing"}:
        inbox.deliver(1, b"b")
    if state == "failed":
        with pytest.raises(OverflowedError):
            inbox.deliver(1, b"x" * 100)
    if state in {"written", "reading", "block"}:
        await bench.settle()
    if state == "reading":
        task = asyncio.ensure_future(inbox.receive())
        await turns()
        assert len(bench.hand.jobs) == 1
    if state == "block":
        assert await bench.received() == (1, b"a")
    under_way = len(bench.hand.jobs)
    inbox.close()
    inbox.close()
    inbox.close(discard=False)
    if under_way:
        assert not any(file.closed for file in bench.disk.files)  # a thread uses it
        assert len(bench.hand.jobs) == under_way  # nor will another thread close it meanwhile
    assert inbox.held_bytes == bench.account.held_bytes == (6 if state in {"writing", "gathering", "failed"} else 0)
    inbox.deliver(1, b"dropped")
    if task is not None:
        with pytest.raises(anyio.EndOfStream):
            await task
    with pytest.raises(anyio.EndOfStream):
        await inbox.receive()
    await bench.ended()
    assert repr(inbox).endswith(" 0 held, 0 spooled>")


@asynchronous
async def test_closing_for_good_what_was_left_to_be_received():
    bench = Bench(memory_bytes=PIECE_BYTES)
    bench.inbox.deliver(1, b"")
    bench.inbox.deliver(1, b"a")
    bench.inbox.close(discard=False)
    bench.inbox.deliver(1, b"dropped")
    assert await bench.received() == (1, b"")
    await bench.ended()


@pytest.mark.parametrize("spooled", [False, True])
@asynchronous
async def test_the_account_may_close_the_inbox_that_crosses_its_hard_mark(spooled: bool):
    bench = Bench(memory_bytes=0 if spooled else 1000)
    bench.account.high_mark_bytes = bench.account.hard_mark_bytes = 3
    bench.account.on_hard_mark = bench.inbox.close
    bench.inbox.deliver(1, b"abc")
    with pytest.raises(anyio.EndOfStream):
        await bench.inbox.receive()
    await bench.ended()


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@asynchronous
async def test_real_files_leave_no_descriptor_and_no_name(tmp_path: Path):
    account, disk = Account(), Disk(1_000_000, tmp_path)
    await disk.run(int)  # its threads are not what is counted

    before = len(names(OPEN))
    inboxes = [Inbox(str(number), account=account, disk=disk, memory_bytes=0, file_bytes=1600) for number in range(4)]
    for number in range(8):
        for inbox in inboxes:
            inbox.deliver(number, bytes([number]) * 150)
    assert await inboxes[0].receive() == (0, bytes(150))
    assert len(names(OPEN)) > before
    assert names(tmp_path) == []
    for inbox in inboxes[:2]:
        inbox.close(discard=False)
        left = 7 if inbox is inboxes[0] else 8
        assert [(await inbox.receive()).kind for _ in range(left)] == list(range(8))[-left:]
        with pytest.raises(anyio.EndOfStream):
            await inbox.receive()
    inboxes[2].close()
    await disk.aclose()
    inboxes[3].close()
    assert len(names(OPEN)) == before
    assert (account.held_bytes, disk.used_bytes) == (0, 0)

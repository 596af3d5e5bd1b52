"""The temporary files of slow clients: their bound, their privacy, their threads, and what becomes of errors."""

import asyncio
import errno
import io
import logging
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from tests.tunnel.gateway.proxied.spooling import HandExecutor, turns
from tunnel.gateway.proxied.disk import Disk, Segment


class ShortFile(io.BytesIO):
    """Takes and gives three bytes at a time, as a raw file may."""

    def write(self, data, /):
        return super().write(bytes(data[:3]))

    def read(self, size=-1, /):
        return super().read(min(size, 3))


def test_the_limit_can_be_taken_whole_and_not_one_byte_more():
    disk = Disk(10)
    assert disk.reserve(9)
    assert not disk.reserve(2)
    assert disk.used_bytes == 9
    assert disk.reserve(1)
    assert not disk.reserve(1)
    disk.release(10)
    assert disk.used_bytes == 0
    assert repr(disk) == "<Disk 0 of 10 bytes used>"


def test_a_limit_of_nothing_is_no_disk():
    assert not Disk(0).usable
    assert Disk(1).usable
    assert repr(Disk(0)) == "<Disk 0 of 0 bytes used, not usable>"


def test_a_file_has_no_name_and_no_reader_but_us(tmp_path: Path):
    with Disk(1, tmp_path).open_file() as file:
        status = os.fstat(file.fileno())
        assert status.st_nlink == 0
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_dev == tmp_path.stat().st_dev
        assert not os.get_inheritable(file.fileno())
        assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_systems_where_none_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        Disk(1).open_file()


def test_short_writes_and_reads_are_gone_on_with():
    segment = Segment(ShortFile())
    segment.write(b"0123456789")
    segment.written_bytes = 10
    segment.write(bytearray(b"abcde"))
    assert segment.read(4) == b"0123"
    segment.read_bytes = 8
    assert segment.read(7) == b"89abcde"


def test_a_file_that_lost_its_end_is_an_error():
    segment = Segment(io.BytesIO(b"123"))
    with pytest.raises(OSError, match="lost its end"):
        segment.read(4)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR])
def test_no_place_for_files_is_found_once_and_logged_once(code: int, caplog):
    disk = Disk(10)
    with caplog.at_level(logging.WARNING):
        assert disk.refused(OSError(code, "no place"))
        assert disk.refused(OSError(code, "no place"))
    assert not disk.usable
    assert [record.message.count("no place") for record in caplog.records] == [1]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.EMFILE, "many"), MemoryError()])
def test_trouble_that_may_pass_does_not_end_the_disk(error: Exception, caplog):
    disk = Disk(10)
    assert not disk.refused(error)
    assert disk.usable
    assert not caplog.records


def test_append_goes_to_the_segment_given_else_to_a_new_one(tmp_path: Path):
    disk = Disk(10, tmp_path)
    first = disk.append(None, bytearray(b"ab"))
    first.written_bytes = 2
    assert disk.append(first, bytearray(b"cd")) is first
    assert first.read(4) == b"abcd"
    second = disk.append(None, bytearray(b"ef"))
    assert second.read(2) == b"ef"
    first.close()
    second.close()


def test_a_new_file_that_cannot_be_written_is_closed():
    class Full(io.BytesIO):
        def write(self, data, /):
            raise OSError(errno.ENOSPC, "full")

    file = Full()

    class FakeDisk(Disk):
        def open_file(self):
            return file

    with pytest.raises(OSError, match="full"):
        FakeDisk(10).append(None, bytearray(b"x"))
    assert file.closed


def test_jobs_run_beside_the_event_loop():
    async def run() -> None:
        disk = Disk(10)
        said = threading.Event()
        future = disk.run(said.wait)
        assert not future.done()
        said.set()  # reached only because the loop goes on while the job waits
        assert await future
        assert await disk.run(threading.get_ident) != threading.get_ident()
        await disk.aclose()

    asyncio.run(run())


def test_retired_bytes_come_back_once_the_descriptor_is_closed():
    async def run() -> None:
        hand = HandExecutor()
        disk = Disk(10, executor=hand)
        segment = Segment(io.BytesIO())
        segment.written_bytes = 7
        assert disk.reserve(7)
        disk.retire(segment)
        await turns()
        assert not segment.file.closed
        assert disk.used_bytes == 7
        hand.step()
        await turns()
        assert segment.file.closed
        assert disk.used_bytes == 0
        await disk.aclose()

    asyncio.run(run())


def test_a_descriptor_is_closed_also_when_no_thread_is_to_be_had():
    async def run() -> None:
        hand = HandExecutor()
        hand.stopped = True
        disk = Disk(10, executor=hand)
        segment = Segment(io.BytesIO())
        segment.written_bytes = 7
        assert disk.reserve(7)
        disk.retire(segment)
        await turns()
        assert segment.file.closed
        assert disk.used_bytes == 0

    asyncio.run(run())


def test_a_failing_close_gives_the_bytes_back_all_the_same():
    class Stubborn(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.EIO, "late")

    async def run() -> None:
        disk = Disk(10)
        segment = Segment(Stubborn())
        segment.written_bytes = 7
        assert disk.reserve(7)
        disk.retire(segment)
        await disk.aclose()
        assert segment.file.closed
        assert disk.used_bytes == 0

    asyncio.run(run())


@pytest.mark.parametrize("used", [False, True])
def test_closing_waits_for_what_is_under_way_and_then_there_is_no_disk(used: bool):
    async def run() -> None:
        hand = HandExecutor()
        disk = Disk(10, executor=hand if used else None)
        answers: list[int] = []
        if used:
            disk.run(lambda: 1).add_done_callback(lambda future: answers.append(future.result()))
        closing = asyncio.create_task(disk.aclose())
        await turns()
        assert closing.done() is not used
        assert not disk.usable
        if used:
            hand.step()
        await closing
        assert answers == [1] * used
        with pytest.raises(OSError, match="shutdown"):
            await disk.run(lambda: 2)
        segment = Segment(io.BytesIO())
        disk.retire(segment)
        assert segment.file.closed
        await disk.aclose()

    asyncio.run(run())

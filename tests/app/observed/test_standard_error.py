"""Standard error: in order, whole lines, never blocking, nothing lost that can be written."""

import asyncio
import errno
import fcntl
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.observed import standard_error
from app.observed.standard_error import StandardError
from tests.fakes.loop import dialogue

PIPE_BUF = select.PIPE_BUF

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets the sizes of pipes")


class Pipe:
    """A pipe of one page, and what is written to it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BUF)
        self.capacity = fcntl.fcntl(self.writer, fcntl.F_GETPIPE_SZ)
        os.set_blocking(self.reader, False)
        self.told: list[int] = []
        self.output = StandardError(self.writer, self.told.append)

    def read(self) -> bytes:
        """All that is there."""
        got = b""
        while True:
            try:
                piece = os.read(self.reader, 65_536)
            except BlockingIOError:
                return got
            if not piece:
                return got
            got += piece

    def fill(self) -> None:
        """Until a byte more would block."""
        while select.select([], [self.writer], [], 0)[1]:
            os.write(self.writer, b"x" * PIPE_BUF)

    def close(self) -> None:
        self.output.close()
        for descriptor in (self.reader, self.writer):
            try:
                os.close(descriptor)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture(params=["own description", "polled"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """As it is where /proc can be used, and where it cannot."""
    if request.param == "polled":

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(standard_error.os, "open", refuse)
    made = Pipe()
    monkeypatch.undo()
    yield made
    made.close()


def writes(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each system call is given from now on."""
    calls: list[bytes] = []
    send = pipe.output._send

    def counted(data: bytes) -> int:
        calls.append(data)
        return send(data)

    monkeypatch.setattr(pipe.output, "_send", counted)
    return calls


def test_what_is_given_at_once_leaves_in_one_call(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    calls = writes(pipe, monkeypatch)
    pipe.output.write(b"0\n1\n2\n")
    pipe.output.write(b"3\n")
    assert calls == [b"0\n1\n2\n", b"3\n"]


def test_a_line_leaves_at_once(either: Pipe):
    either.output.write(b"a\n")
    assert either.read() == b"a\n"


def test_lines_are_cut_nowhere(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    calls = writes(pipe, monkeypatch)
    lines = [b"%05d" % number * 40 + b"\n" for number in range(30)] + [b"y" * (PIPE_BUF - 1) + b"\n", b"z\n"]
    pipe.output.write(b"".join(lines))
    got = pipe.read()
    while pipe.output._held:
        pipe.output.flush()
        got += pipe.read()
    assert got == b"".join(lines)
    assert {call[-1:] for call in calls} == {b"\n"}
    assert max(map(len, calls)) <= PIPE_BUF
    assert len(calls) < len(lines) / 3


def test_a_line_longer_than_a_pipe_arrives_whole(either: Pipe):
    line = b"x" * (3 * either.capacity + 1) + b"\n"
    either.output.write(line)
    got = either.read()
    while got != line:
        either.output.flush()
        piece = either.read()
        assert piece
        got += piece


# --- nobody reads


@dialogue
async def test_a_full_pipe_blocks_nobody_and_nothing_is_lost_once_it_is_read(either: Pipe):
    either.fill()
    either.output.write(b"a\n")
    await asyncio.sleep(0)
    either.output.write(b"b\n")
    assert either.read().strip(b"x") == b""
    ready = asyncio.Event()
    asyncio.get_running_loop().add_reader(either.reader, ready.set)
    await ready.wait()  # no further line comes: it tries again by itself
    asyncio.get_running_loop().remove_reader(either.reader)
    assert either.read() == b"a\nb\n"
    assert (either.output.lines_dropped, either.told) == (0, [])


def test_what_does_not_fit_is_counted_and_told_when_it_is_read_again(either: Pipe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(standard_error, "HELD_BYTES", 100)
    either.fill()
    for number in range(1_000):
        either.output.write(b"line %04d\n" % number)
        assert either.output._held_bytes <= 100
    assert (either.output.lines_dropped, either.told) == (990, [])
    either.read()
    either.output.write(b"last\n")
    got = either.read()
    while either.output._held:  # a pipe of one page may take one piece at a time
        either.output.flush()
        got += either.read()
    assert either.told == [990]
    assert got == b"".join(b"line %04d\n" % number for number in range(10)) + b"last\n"
    either.output.write(b"more\n")
    assert (either.output.lines_dropped, either.told) == (990, [990])


def test_the_line_that_tells_of_it_may_be_written_at_once(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(standard_error, "HELD_BYTES", 10)
    output = StandardError(pipe.writer, lambda lines: output.write(b"%d dropped\n" % lines))
    pipe.fill()
    output.write(b"held\n")
    output.write(b"too long to be held\n")
    pipe.read()
    output.write(b"on\n")
    assert pipe.read() == b"held\non\n1 dropped\n"


def test_a_reader_that_has_gone_is_an_end_to_nothing(either: Pipe):
    os.close(either.reader)
    for _ in range(3):
        either.output.write(b"a\n")
    either.output.finish()
    assert (either.output.lines_dropped, either.output._held_bytes, either.told) == (3, 0, [])


def test_the_descriptors_of_others_stay_as_they_are(pipe: Pipe):
    pipe.fill()
    pipe.output.write(b"a\n")
    assert os.get_blocking(pipe.writer)


def test_the_end_waits_for_a_reader_and_not_for_ever(either: Pipe, monkeypatch: pytest.MonkeyPatch):
    either.fill()
    lines = [b"%04d\n" % number for number in range(4_000)]
    for line in lines:
        either.output.write(line)
    got = bytearray()

    def read() -> None:
        os.set_blocking(either.reader, True)
        while not got.endswith(lines[-1]):
            got.extend(os.read(either.reader, 65_536))

    thread = threading.Thread(target=read)
    thread.start()
    either.output.finish()
    thread.join()
    assert bytes(got).lstrip(b"x") == b"".join(lines)
    either.fill()
    either.output.write(b"nobody reads this\n")
    monkeypatch.setattr(standard_error, "FINISH_SECONDS", 0.01)
    either.output.finish()
    assert either.output._held_bytes > 0


# --- other kinds of descriptors


def test_a_file_gets_every_line_at_its_end(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with path.open("ab") as file:
        output = StandardError(file.fileno(), lambda _: None)
        output.write(b"1\n" * PIPE_BUF)
        os.write(file.fileno(), b"another\n")
        output.write(b"2\n")
    assert path.read_bytes() == b"before\n" + b"1\n" * PIPE_BUF + b"another\n2\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux")  # noqa: PTH110
def test_a_full_disk_is_counted():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    output = StandardError(descriptor, lambda _: None)
    output.write(b"1\n2\n")
    os.close(descriptor)
    assert output.lines_dropped == 2


def test_a_socket_is_not_waited_for_either():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        output = StandardError(ours.fileno(), lambda _: None)
        for _ in range(1_000):
            output.write(b"x" * 4_000 + b"\n")
        assert output._held_bytes > 0
        assert os.get_blocking(ours.fileno())
        got = bytearray()
        while output._held or len(got) < 1_000 * 4_001:
            got += theirs.recv(1_000_000)
            output.flush()
        assert bytes(got) == (b"x" * 4_000 + b"\n") * 1_000
        output.close()


# --- threads


def test_lines_of_other_threads_come_whole_and_none_is_lost(pipe: Pipe):
    asyncio.run(write_while_threads_write(pipe))


async def write_while_threads_write(pipe: Pipe) -> None:
    got = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.reader, lambda: got.extend(pipe.read()))

    def write(name: bytes) -> None:
        for number in range(500):
            pipe.output.write(b"%s %d\n" % (name, number))

    tasks = [asyncio.create_task(asyncio.to_thread(write, name)) for name in (b"a", b"b")]
    for number in range(500):
        pipe.output.write(b"c %d\n" % number)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    while pipe.output._held or got.count(b"\n") < 1_500:
        pipe.output.flush()
        await asyncio.sleep(0)
    loop.remove_reader(pipe.reader)
    lines = bytes(got).splitlines()
    for name in (b"a", b"b", b"c"):
        assert [line for line in lines if line[:1] == name] == [b"%s %d" % (name, number) for number in range(500)]


def test_a_line_that_comes_up_while_another_is_written(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    """As a finalizer's does: in the same thread, in the middle of the call."""
    send = pipe.output._send

    def interrupted(piece: bytes) -> int:
        if piece == b"1\n":
            pipe.output.write(b"2\n")
        return send(piece)

    monkeypatch.setattr(pipe.output, "_send", interrupted)
    pipe.output.write(b"1\n")
    assert pipe.read() == b"1\n2\n"

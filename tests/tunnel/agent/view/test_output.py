"""An output that is slow, stuck or closed delays nobody and holds a bounded number of bytes."""

import os
import time

import pytest

from tests.system.process import wait_until
from tunnel.agent.view import PlainView, of
from tunnel.agent.view.output import MOST_BYTES, Output

PIPE_BYTES = 64 * 1024
PIECE = "x" * 1023 + "\n"


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as reading, os.fdopen(writer, "w", encoding="ascii") as writing:
        yield reading, writing


def filled(output):
    """Write until there is no room; how much was taken."""
    taken = 0
    while output.write(PIECE):
        taken += len(PIECE)
        assert taken < 8 * MOST_BYTES
    return taken


def test_what_is_written_arrives_in_order_after_what_was_printed(pipe):
    reading, writing = pipe
    writing.write("before\n")
    output = Output(writing)
    assert output.write("one\n")
    assert output.write("\u6f22\n")
    output.close()
    assert output.idle
    assert os.read(reading.fileno(), 100) == b"before\none\n?\n"
    assert output.write("late\n")
    assert output.idle


def test_nobody_reads(pipe):
    _, writing = pipe
    output = Output(writing)
    taken = sum(output.write(PIECE) for _ in range(8 * MOST_BYTES // len(PIECE)))
    assert MOST_BYTES - len(PIECE) <= taken * len(PIECE) <= MOST_BYTES + PIPE_BYTES
    assert not output.idle
    began = time.monotonic()
    output.close()
    assert time.monotonic() - began < 30


def test_it_is_read_again(pipe):
    reading, writing = pipe
    output = Output(writing)
    taken = filled(output)
    read = 0
    while read < taken:
        read += len(os.read(reading.fileno(), MOST_BYTES))
    wait_until(lambda: output.idle, 10, "all is written")
    assert output.write("more\n")
    assert os.read(reading.fileno(), 100) == b"more\n"
    output.close()


def test_the_reader_left(pipe):
    reading, writing = pipe
    output = Output(writing)
    reading.close()
    output.write(PIECE)
    wait_until(lambda: output.dead, 10, "it is given up")
    for _ in range(2 * MOST_BYTES // len(PIECE)):
        assert output.write(PIECE)
    assert output.idle
    output.close()


def test_one_large_piece_is_taken(pipe):
    reading, writing = pipe
    output = Output(writing)
    assert output.write("y" * (MOST_BYTES + 1))
    read = 0
    while read < MOST_BYTES + 1:
        read += len(os.read(reading.fileno(), MOST_BYTES))
    output.close()


def test_a_terminal_that_does_not_block(pipe):
    reading, writing = pipe
    os.set_blocking(writing.fileno(), False)
    output = Output(writing)
    taken = filled(output)
    read = 0
    while read < taken:
        read += len(os.read(reading.fileno(), MOST_BYTES))
    output.close()
    assert output.idle
    assert not output.dead


def test_no_stream_and_a_closed_one(pipe):
    _, writing = pipe
    writing.close()
    for stream in (None, writing):
        output = Output(stream)
        assert output.dead
        assert output.write("nothing\n")
        output.close()


def test_what_is_no_terminal_gets_plain_lines(pipe):
    reading, writing = pipe
    view = of(writing)
    assert isinstance(view, PlainView)
    view.note("hello")
    view.close()
    assert os.read(reading.fileno(), 100) == b"hello\n"
    of(None).close()

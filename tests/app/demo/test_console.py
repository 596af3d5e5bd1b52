"""The console: whose line it is, and what a program's output may not do to the terminal."""

import os

import pytest

from app.demo.console import Console, cleaned


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"with its end\r", "with its end"),
        ("Grüße".encode(), "Grüße"),
        (b"a\tb", "a    b"),
        (b"\x1b[2J\x1b]0;owned\x07gone", "?[2J?]0;owned?gone"),
        (b"\xff\xfe rubbish \x00", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} rubbish ?"),
        ("a\u2028b\u202ec".encode(), "a?b?c"),
        (b"x" * 5000, "x" * 500),
        (b"", ""),
    ],
)
def test_output_is_shown_without_what_moves_the_cursor(raw: bytes, shown: str):
    assert cleaned(raw) == shown


def test_a_line_names_its_program():
    reading, writing = os.pipe()
    console = Console(writing)
    console.say("chat", "hello")
    console.say("demo", "")
    console.finish()
    os.close(writing)
    with os.fdopen(reading) as lines:
        assert lines.read().splitlines() == ["        chat  hello", "        demo"]


def test_a_pipe_that_nobody_reads_delays_nobody():
    """More than any pipe takes is said without a reader; the test would hang."""
    reading, writing = os.pipe()
    console = Console(writing)
    for number in range(2000):
        console.say("chat", f"{number} " + "x" * 400)
    os.close(reading)
    console.say("chat", "the reader has gone")
    console.finish()
    os.close(writing)

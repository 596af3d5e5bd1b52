"""The view in a real terminal: a process on a pty, as a person would have it."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

from tests.system.process import wait_until
from tunnel.agent.view.terminal import ENTER, LEAVE

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform == "win32", reason="no pty")]

ROOT = Path(__file__).parents[4]
WAIT_SECONDS = 30.0


class Terminal:
    """A terminal of some size, with a program that has it to itself."""

    def __init__(self, columns, rows, **environment):
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        inherited = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tunnel.agent.view.shown"],
            stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env={**inherited, **environment}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def resize(self, columns, rows):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self._master, keys)

    def read_until(self, done):
        """Read on until `done` of all that was read from now on is true, or the program has ended."""
        end, before = time.monotonic() + WAIT_SECONDS, len(self.seen)
        while not done(self.seen[before:]):
            assert time.monotonic() < end, self.seen[-2_000:]
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    data = os.read(self._master, 65_536)
                except OSError:  # nobody has the other side any more
                    return
                self.seen = (self.seen + self._decoder.decode(data)).replace("\r\r\n", "\r\n")  # it adds its own

    def end(self):
        """Its status once it has ended; what it still wrote is in `seen`."""
        self.read_until(lambda _: False)
        return self.process.wait(WAIT_SECONDS)


def frames_of(text):
    return text.split("\x1b[H")[1:]


def lines_of(frame):
    """Without what styles them."""
    return re.sub(r"\x1b\[[0-9]*[mKJ]", "", frame).replace("\r", "").split("\n")


def test_it_follows_the_window_and_gives_the_terminal_back():
    with Terminal(80, 12) as terminal:
        terminal.read_until(lambda came: len(frames_of(came)) > 3)
        assert terminal.seen.startswith(ENTER)
        frame = lines_of(frames_of(terminal.seen)[2])
        assert frame[:2] == [
            "connected to wss://h/agent, round trip 12 ms",
            "https://me.example.com/ leads to http://localhost:5173",
        ]
        assert len(frame) == 12
        assert "\\x1b[2J\\x9b31m" in frame[-1]
        terminal.resize(30, 5)
        terminal.read_until(lambda came: any(len(lines_of(part)) == 5 for part in frames_of(came)[:-1]))
        small = next(lines_of(part) for part in frames_of(terminal.seen) if len(lines_of(part)) == 5)
        assert max(map(len, small)) <= 30
        terminal.type(b"\x03")
        assert terminal.end() == 0
        assert re.fullmatch(r"[0-9:]{8} stopped\r\n", terminal.seen.rpartition(LEAVE)[2])
        assert "\x1b[2J" not in terminal.seen
        assert "\x9b" not in terminal.seen


def test_a_terminal_that_was_stopped_does_not_keep_the_program():
    with Terminal(80, 12) as terminal:
        terminal.read_until(lambda came: len(frames_of(came)) > 1)
        terminal.type(b"\x13")  # Ctrl-S: it writes into a terminal that takes nothing
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(WAIT_SECONDS) == 0


def test_ctrl_z_and_back():
    with Terminal(80, 12) as terminal:
        terminal.read_until(lambda came: len(frames_of(came)) > 1)
        terminal.type(b"\x1a")
        terminal.read_until(lambda came: came.endswith(LEAVE))
        program = psutil.Process(terminal.process.pid)
        wait_until(lambda: program.status() == psutil.STATUS_STOPPED, WAIT_SECONDS, "it is stopped")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.read_until(lambda came: ENTER in came and len(frames_of(came)) > 1)
        terminal.type(b"\x03")
        assert terminal.end() == 0


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_without_a_cursor_gets_plain_lines(environment):
    with Terminal(80, 12, **environment) as terminal:
        terminal.read_until(lambda came: came.count("\n") > 3)
        terminal.type(b"\x03")
        assert terminal.end() == 0
        first, second, *_ = terminal.seen.split("\r\n")
        assert first == "http://localhost:5173 is published at https://me.example.com/"
        assert second == "2026-11-29T09:52:39Z 200 GET /1/\\x1b[2J\\x9b31m 12 ms 203.0.113.7"
        assert terminal.seen.endswith("stopped\r\n")
        assert "\x1b" not in terminal.seen


def test_no_color_drops_the_colours_only():
    with Terminal(80, 12, NO_COLOR="1") as terminal:
        terminal.read_until(lambda came: len(frames_of(came)) > 2)
        terminal.type(b"\x03")
        assert terminal.end() == 0
        assert terminal.seen.startswith(ENTER)
        assert re.findall(r"\x1b\[[0-9]+m", terminal.seen.rpartition(LEAVE)[0]) == []

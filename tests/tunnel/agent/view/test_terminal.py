"""The view of a terminal, with an output of our own and a clock that is told what time it is."""

import asyncio
import atexit
import os
import re
import signal
import time

import pytest

from tests.tunnel.agent.view.rows import row
from tunnel.agent.view import Address
from tunnel.agent.view.screen import Style
from tunnel.agent.view.terminal import ENTER, FRAME_SECONDS, LEAVE, TerminalView, framed


class Output:
    def __init__(self):
        self.texts = []
        self.idle = True
        self.dead = self.closed = False

    def write(self, text):
        self.texts.append(text)
        return True

    def flush(self, seconds):
        self.texts.append("flushed")

    def close(self):
        self.closed = True

    def taken(self):
        taken, self.texts = self.texts, []
        return taken


class Loop:
    """The part of an event loop that the view uses."""

    def __init__(self):
        self.now = 100.0
        self.timers = []
        self.signals = {}

    def time(self):
        return self.now

    def call_at(self, when, call):
        timer = Timer(when, call)
        self.timers.append(timer)
        return timer

    def add_signal_handler(self, number, call):
        self.signals[number] = call

    def remove_signal_handler(self, number):
        del self.signals[number]

    def advance(self, seconds):
        """Let time pass, and everything happen that is due."""
        end = self.now + seconds
        while due := sorted((timer for timer in self.timers if timer.when <= end), key=lambda timer: timer.when):
            self.timers.remove(due[0])
            self.now = max(self.now, due[0].when)
            due[0].call()
        self.now = end


class Timer:
    def __init__(self, when, call):
        self.when, self.call = when, call
        self.cancelled = False

    def cancel(self):
        self.cancelled = True
        self.call = lambda: None


class World:
    def __init__(self, monkeypatch, *, colours=False):
        self.loop, self.output = Loop(), Output()
        self.size = os.terminal_size((80, 24))
        self.at_exit = []
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        monkeypatch.setattr(atexit, "register", self.at_exit.append)
        monkeypatch.setattr(atexit, "unregister", self.at_exit.remove)
        monkeypatch.setattr(time, "strftime", lambda *_: "09:52:39")
        monkeypatch.setattr(os, "get_terminal_size", lambda _descriptor: self.size)
        self.view = TerminalView(self.output, 1, colours=colours)


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    yield made
    made.view.close()


def test_it_enters_draws_and_leaves(world):
    world.view.state("connected", well=True)
    world.view.note("the gateway is too old")
    assert world.output.taken() == [ENTER]
    world.loop.advance(0)
    (frame,) = world.output.taken()
    assert frame.startswith("\x1b[H\x1b[Kconnected\r\n")
    assert world.view.takes_log
    world.view.state("connected again", well=True)
    (timer,) = world.loop.timers
    assert world.at_exit == [world.view.close]
    world.view.close()
    world.view.close()
    assert world.output.taken() == [LEAVE + "09:52:39 the gateway is too old\r\n"]
    assert world.output.closed
    assert world.loop.signals == {}
    assert world.at_exit == []
    assert timer.cancelled
    world.view.state("late")
    world.loop.advance(10)
    assert world.output.taken() == []


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda view: None, "starting"),
        (lambda view: view.published([Address("http://localhost:5173", "https://me.example.com/")]), "https://me."),
        (lambda view: view.state("connection lost"), "connection lost"),
        (lambda view: view.requests([row("/page")]), "/page"),
        (lambda view: view.note("a warning"), "a warning"),
    ],
    ids=["nothing yet", "published", "state", "requests", "note"],
)
def test_each_change_is_drawn(world, change, shown):
    if shown != "starting":
        world.loop.advance(0)
        assert shown not in "".join(world.output.taken())
    change(world.view)
    world.loop.advance(FRAME_SECONDS)
    assert shown in world.output.taken()[-1]


def test_ten_frames_a_second_at_most(world):
    world.loop.advance(0)
    world.output.taken()
    for number in range(1_000):
        world.view.requests([row(f"/{number}")])
        world.loop.advance(0.001)
    world.loop.advance(FRAME_SECONDS)
    frames = world.output.taken()
    assert 9 <= len(frames) <= 11
    assert "/999 " in frames[-1]


def test_nothing_is_drawn_while_nothing_changes(world):
    world.view.state("connected", well=True)
    world.loop.advance(10)
    world.output.taken()
    world.view.state("connected", well=True)
    world.loop.advance(10)
    assert world.output.taken() == []
    assert world.loop.timers == []


def test_a_terminal_that_takes_nothing_misses_frames(world):
    world.loop.advance(0)
    world.output.taken()
    world.output.idle = False
    for number in range(50):
        world.view.requests([row(f"/{number}")])
        world.loop.advance(FRAME_SECONDS)
    assert world.output.taken() == []
    assert len(world.loop.timers) == 1
    world.output.idle = True
    world.loop.advance(FRAME_SECONDS)
    (frame,) = world.output.taken()
    assert "/49 " in frame


def test_a_terminal_that_is_gone_is_not_drawn_on(world):
    world.loop.advance(0)
    world.output.dead = True
    world.view.state("connected", well=True)
    assert world.loop.timers == []


def test_a_changed_window_is_drawn_anew(world):
    world.view.state("a longer state than fits", well=True)
    world.loop.advance(1)
    world.output.taken()
    world.size = os.terminal_size((10, 2))
    world.loop.signals[signal.SIGWINCH]()
    world.loop.advance(1)
    assert world.output.taken() == ["\x1b[H\x1b[Ka longer\r\n\x1b[Kstate than"]
    world.size = os.terminal_size((0, 0))
    world.loop.signals[signal.SIGWINCH]()
    world.loop.advance(1)
    assert "\x1b[Ka longer state than fits\r\n" in world.output.taken()[0]


def test_ctrl_z_gives_the_terminal_back_meanwhile(world, monkeypatch):
    world.loop.advance(1)
    world.output.taken()
    monkeypatch.setattr(os, "kill", lambda _process, number: world.output.texts.append(number))
    world.loop.signals[signal.SIGTSTP]()
    world.loop.advance(1)
    *before, frame = world.output.taken()
    assert before == [LEAVE, "flushed", signal.SIGSTOP, ENTER]
    assert frame.startswith("\x1b[H")


def test_colours_go_around_texts_only():
    lines = [[(Style.GOOD, "ok"), (Style.PLAIN, " x")], [(Style.BAD, "no")]]
    assert framed(lines, 2, colours=True) == "\x1b[H\x1b[K\x1b[32mok\x1b[0m x\r\n\x1b[K\x1b[31mno\x1b[0m"
    assert framed(lines, 3, colours=False) == "\x1b[H\x1b[Kok x\r\n\x1b[Kno\r\n\x1b[J"


@pytest.mark.parametrize("colours", [True, False])
def test_every_escape_is_one_of_ours(monkeypatch, colours):
    world = World(monkeypatch, colours=colours)
    world.view.requests([row("/\x1b[2J\x1b]8;;http://x\x07\x9b31m", method="\x1b", client="\x1bc", status=500)])
    world.view.note("\x1b[?1049l")
    world.view.state("\x9d0;title\x9c")
    world.loop.advance(0)
    world.view.close()
    shown = "".join(world.output.taken())
    ours = re.compile(r"\x1b\[(H|K|J|0m|1m|2m|3[123]m|\?1049[hl]|\?25[hl]|\?7[hl])|\r\n")
    assert ours.sub("", shown).isprintable()
    assert ("\x1b[31m" in shown) == colours

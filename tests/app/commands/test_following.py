"""`--follow`: the reader of server-sent events, and the loop that comes again after the last one it has seen."""

import json
import signal
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import IO

import pytest

from app.commands.following import EventReader, ServerEvent, TooLongError, follow
from app.commands.gateway import RunningGateway
from app.commands.statuses import CommandError
from tests.app.commands.answers import EVENT, EXCHANGE, STATUS, page
from tests.app.commands.conftest import Run
from tests.app.commands.scripted import Said, Script
from tests.system.process import ROOT, wait_until

STREAM = (
    b": hello\n\n"
    b"id: 7\nevent: event\ndata: {}\n\n"
    b"event: none\n\n"
    b"data: two\r\ndata:lines\r\n\r\n"
    b"id: 8\ndata: a\xc2\x85b \xe2\x80\xa8\n\n"
    b"data: not whole"
)
EVENTS = [ServerEvent("event", "{}", "7"), ServerEvent("message", "two\nlines", "7"),
          ServerEvent("message", "a\x85b \u2028", "8")]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_are_read_however_they_are_cut(size: int):
    reader = EventReader()
    found = [event for at in range(0, len(STREAM), size) for event in reader.feed(STREAM[at : at + size])]
    assert found == EVENTS


def test_an_event_without_an_end_is_not_kept():
    reader = EventReader()
    for _ in range(10):
        assert reader.feed(b"x" * 100_000) == []
    with pytest.raises(TooLongError):
        reader.feed(b"x" * 100_000)


def sent(*numbers: int) -> Said:
    events = [f"id: {number}\nevent: event\ndata: {json.dumps({**EVENT, 'number': number})}\n\n" for number in numbers]
    return Said("".join([": hi\n\n", *events]).encode(), streams=True)


def numbers(found: Iterator[ServerEvent], count: int) -> list[int]:
    return [json.loads(event.data)["number"] for event in islice(found, count)]


def no_wait(_: float) -> None:
    pass


@pytest.mark.system
def test_it_goes_on_after_the_last_event(script: Script, capsys: pytest.CaptureFixture[str]):
    script.say("/-/status", Said(STATUS))
    script.say("/-/events", sent(1, 2), sent(3), sent(4))
    gateway = RunningGateway("events", script.url, None)
    found = follow(gateway, "/-/events", {"level": None, "cluster": "c1"}, sleep=no_wait)
    assert numbers(found, 4) == [1, 2, 3, 4]
    asked = [one for one in script.asked if "/-/events" in one.line]
    assert {one.line for one in asked} == {"GET /-/events?cluster=c1&watch=true"}
    assert [one.fields.get("last-event-id") for one in asked] == [None, "2", "3"]
    line = f"tunnel-gateway: events: {script.url}: the connection ended; trying again\n"
    assert capsys.readouterr().err == line * 2


@pytest.mark.system
def test_a_gateway_that_was_started_anew_is_followed_from_its_beginning(script: Script):
    script.say("/-/status", Said(STATUS), Said(STATUS), Said(status=503), Said({**STATUS, "started_at": "later"}))
    script.say("/-/events", sent(41, 42), sent(43), sent(1, 2))
    found = follow(RunningGateway("events", script.url, None), "/-/events", {"after": "40"}, sleep=no_wait)
    assert numbers(found, 5) == [41, 42, 43, 1, 2]
    asked = [one for one in script.asked if "/-/events" in one.line]
    assert [one.fields.get("last-event-id") for one in asked] == [None, "42", None]
    assert ["after=40" in one.line for one in asked] == [True, True, False]


@pytest.mark.system
@pytest.mark.parametrize("busy", ["status", "events"])
def test_while_it_restarts_it_is_asked_again_and_again(script: Script, busy: str):
    refused = Said({"code": "busy", "message": "the gateway is stopping"}, 503)
    script.say("/-/status", Said(STATUS), *([refused, refused] if busy == "status" else []), Said(STATUS))
    script.say("/-/events", sent(1), *([refused, refused] if busy == "events" else []), sent(2))
    waited: list[float] = []
    found = follow(RunningGateway("events", script.url, None), "/-/events", {}, sleep=waited.append)
    assert numbers(found, 2) == [1, 2]
    assert waited == [1.0] * 3


@pytest.mark.system
def test_a_token_that_is_taken_away_ends_it(script: Script):
    script.say("/-/status", Said(STATUS), Said({"message": "no"}, 401))
    script.say("/-/events", sent(1))
    found = follow(RunningGateway("events", script.url, None), "/-/events", {}, sleep=no_wait)
    assert numbers(found, 1) == [1]
    with pytest.raises(CommandError, match="answered 401"):
        next(found)


@pytest.mark.system
def test_a_gateway_without_room_for_watchers_is_an_error_at_first(script: Script, ran: Run):
    script.say("/-/status", Said(STATUS))
    script.say("/-/events", Said({"code": "busy", "message": "32 clients are watching already"}, 503))
    told = ran("events", "--follow")
    assert (told.status, told.out) == (1, "")
    assert told.err == f"tunnel-gateway: events: {script.url} answered 503: 32 clients are watching already\n"


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, when the stream has ended."""

    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.commands.following.time", SimpleNamespace(sleep=sleep))


@pytest.mark.system
def test_each_event_is_a_line(script: Script, ran: Run, interrupted: None):
    script.say("/-/status", Said(STATUS))
    script.say("/-/events", sent(1, 2))
    told = ran("events", "--follow", "--json")
    assert told.status == 130
    assert [json.loads(line)["number"] for line in told.out.splitlines()] == [1, 2]
    assert "Traceback" not in told.err
    told = ran("events", "--follow")
    assert told.out.splitlines() == ["2026-01-01T00:00:00.000Z  info     link_ready  link-7: ready"] * 2


@pytest.mark.system
def test_exchanges_are_shown_again_when_they_change(
    script: Script, ran: Run, interrupted: None, terminal: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
):
    pages = [page("exchanges", EXCHANGE), page("exchanges"), page("exchanges", *[EXCHANGE] * 30)]
    names = ("snapshot", "change", "change")
    body = "".join(f"event: {name}\ndata: {json.dumps(one)}\n\n" for name, one in zip(names, pages, strict=True))
    script.say("/-/status", Said(STATUS))
    script.say("/-/exchanges", Said(body.encode(), streams=True))
    told = ran("exchanges", "--follow", "--json", "--host", "a.test", "--limit", "40")
    assert told.status == 130
    assert [json.loads(line) for line in told.out.splitlines()] == pages
    assert "host=a.test" in script.lines()[-1]
    assert "limit=40" in script.lines()[-1]
    told = ran("exchanges", "--follow")
    assert "\x1b" not in told.out
    assert [len(part.splitlines()) for part in told.out.split("\n\n")] == [2, 1, 31, 0]
    terminal(120)
    told = ran("exchanges", "--follow")
    assert told.out.count("\x1b[H\x1b[2J") == 3
    assert len(told.out.rpartition("\x1b[2J")[2].splitlines()) == 9, "one line less than the terminal has"
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in ran("exchanges", "--follow").out


@pytest.mark.system
@pytest.mark.skipif(sys.platform != "linux", reason="how full a pipe is can be asked on Linux only")
def test_ctrl_c_ends_it_though_nobody_reads_what_it_prints(script: Script):
    script.say("/-/status", Said(STATUS))
    script.say("/-/events", sent(*range(2_000)))
    command = [sys.executable, "-m", "app", "events", "--follow", "--json", "--url", script.url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        wait_until(lambda: is_full(process.stdout), 30, "the pipe is full")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def is_full(pipe: IO[bytes]) -> bool:
    """Whether at most a page has room in it."""
    import fcntl  # Linux has it
    import termios

    waiting = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) - 4_096

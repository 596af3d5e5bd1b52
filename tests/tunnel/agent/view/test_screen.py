"""What a window of some size shows, without a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tunnel.agent.view.rows import row
from tests.tunnel.agent.view.test_text import TEXTS
from tunnel.agent.view import Address, lines
from tunnel.agent.view.screen import MOST_COLUMNS, MOST_ROWS, Screen, Style
from tunnel.agent.view.text import width

VITE = Address("http://localhost:5173", "https://me.example.com/")
API = Address("http://localhost:8000", "https://api.me.example.com/v1")


def text_of(line):
    return "".join(text for _, text in line)


def texts(screen, columns=80, rows=24):
    return [text_of(line).rstrip() for line in screen.lines(columns, rows)]


def connected():
    screen = Screen()
    screen.published([VITE])
    screen.state("connected to wss://h/agent", well=True, round_trip=0.0123)
    return screen


def test_before_anything_happened():
    assert texts(Screen()) == ["starting", "", "no requests yet; Ctrl-C ends it"]
    assert Screen().lines(80, 24)[0] == [(Style.ODD, "starting")]


def test_a_publisher_at_work():
    screen = connected()
    screen.requests([row("/1"), row("/2", status=404)], 0)
    screen.requests([row("/3", status=502, outcome="service_refused")], 7)
    screen.note("the token in FILE can be read by others")
    assert [line[8:] if "203.0" in line else line for line in texts(screen)] == [
        "connected to wss://h/agent, round trip 12 ms",
        "https://me.example.com/ leads to http://localhost:5173",
        "",
        "the token in FILE can be read by others",
        "",
        "the last requests (left out 7); Ctrl-C ends it",
        " 502 GET     /3 (service_refused)             12 ms 203.0.113.7",
        " 404 GET     /2                               12 ms 203.0.113.7",
        " 200 GET     /1                               12 ms 203.0.113.7",
    ]


def test_a_long_path_gives_way_to_the_reason():
    screen = connected()
    screen.requests([row("/" + "a" * 200, status=502, outcome="service_refused")], 0)
    assert "aaa\u2026 (service_refused) " in texts(screen)[-1]


def test_a_link_that_is_lost_has_no_round_trip():
    screen = connected()
    screen.state("the connection was lost; trying again", well=False, round_trip=0.0123)
    (line, *_) = screen.lines(80, 24)
    assert line == [(Style.BAD, "the connection was lost; trying again")]


@pytest.mark.parametrize(
    ("status", "style"),
    [(101, Style.GOOD), (200, Style.GOOD), (304, Style.PLAIN), (404, Style.ODD), (500, Style.BAD), (0, Style.BAD)],
)
def test_a_status_is_seen_by_its_colour(status, style):
    screen = connected()
    screen.requests([row(status=status)], 0)
    assert screen.lines(80, 24)[-1][1][0] == style


def test_the_host_is_shown_where_there_are_several():
    screen = connected()
    screen.published([VITE, API])
    screen.requests([row("/1", host="api.me.example.com")], 0)
    shown = texts(screen)
    assert shown[1:3] == [
        "https://me.example.com/       leads to http://localhost:5173",
        "https://api.me.example.com/v1 leads to http://localhost:8000",
    ]
    assert " api.me.example.com/1 " in shown[-1]


def test_a_small_window_keeps_the_state_and_the_addresses():
    screen = connected()
    screen.requests([row(f"/{number}") for number in range(50)], 0)
    assert texts(screen, 80, 1) == ["connected to wss://h/agent, round trip 12 ms"]
    assert texts(screen, 80, 3)[1] == "https://me.example.com/ leads to http://localhost:5173"
    assert texts(screen, 9, 2) == ["connected", "to"]
    assert texts(screen, 30, 3)[1] == "https://me.example.com/ leads\u2026"
    assert "/49" in texts(screen, 80, 5)[-1]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (100, "09:52:39 200 GET     /a/longer/path                   12 ms 2001:db8::1234:5678:9abc:def0"),
        (60, "09:52:39 200 GET     /a/longer/path                   12 ms"),
        (40, "09:52:39 200 GET     /a/longer/path"),
        (30, "200 GET     /a/longer/path"),
        (20, "200 GET     /a/long\u2026"),
    ],
)
def test_a_narrow_window_gives_up_all_else_for_the_path(columns, shown, monkeypatch):
    monkeypatch.setattr(lines, "time_of_day", lambda _row: "09:52:39")
    screen = connected()
    screen.requests([row("/a/longer/path", client="2001:db8::1234:5678:9abc:def0")], 0)
    assert texts(screen, columns)[-1] == shown


def test_many_addresses_leave_room_for_requests():
    screen = Screen()
    screen.published([Address(f"http://localhost:{port}", f"https://p{port}.h/") for port in range(100)])
    screen.requests([row("/1"), row("/2")], 0)
    shown = texts(screen, 80, 24)
    assert shown[8] == "and 93 more"
    assert "/1" in shown[-1]


def test_what_it_keeps_is_bounded():
    screen = connected()
    for number in range(2_000):
        screen.requests([row(f"/{number}")], 1)
        screen.note(f"note {number}")
    shown = texts(screen, 10_000, 10_000)
    assert len(shown) <= MOST_ROWS
    assert max(map(len, shown)) <= MOST_COLUMNS
    assert shown[3:6] == ["note 1997", "note 1998", "note 1999"]
    assert "(left out 2000)" in shown[7]
    assert len(screen.notes) == 10


@given(TEXTS, TEXTS, st.integers(1, 120), st.integers(1, 30), st.integers(-1, 1000))
def test_whatever_it_is_told_fits_and_is_harmless(one, other, columns, rows, status):
    screen = Screen()
    screen.published([Address(one, other), Address(other, one)])
    screen.state(one, well=True, round_trip=0.1)
    screen.note(other)
    screen.requests(
        [row(one, method=other, host=one, client=other, outcome=one, at=other, status=status, kind=one)] * 3, 1
    )
    shown = [text_of(line) for line in screen.lines(columns, rows)]
    assert 1 <= len(shown) <= rows
    for line in shown:
        assert line.isprintable()
        assert width(line) <= columns

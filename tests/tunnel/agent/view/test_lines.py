"""What is said of one request and of one address."""

import math

import pytest

from tests.tunnel.agent.view.rows import row
from tunnel.agent.view import Address, lines


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (row(), "2026-11-29T09:52:39Z 200 GET /x 12 ms 203.0.113.7"),
        (row(status=0, outcome="client_left"), "2026-11-29T09:52:39Z - GET /x 12 ms 203.0.113.7 (client_left)"),
        (row(status=502, outcome="service_refused", seconds=61.0), (
            "2026-11-29T09:52:39Z 502 GET /x 1 min 1 s 203.0.113.7 (service_refused)"
        )),
        (row(kind="websocket", status=101, seconds=1.5), "2026-11-29T09:52:39Z 101 WS /x 1.5 s 203.0.113.7"),
        (row("/\x1b[2J", method="\x1b", client="\x07", outcome="\x9b"), (
            "2026-11-29T09:52:39Z 200 \\x1b /\\x1b[2J 12 ms \\x07 (\\x9b)"
        )),
        (row(at="yesterday", status=-5, seconds=-1.0), "- - GET /x below 1 ms 203.0.113.7"),
        (row(at="", status=10**9, seconds=1e300), "- - GET /x 365 d 203.0.113.7"),
        (row(at="2026-11-29T11:52:39+02:00"), "2026-11-29T09:52:39Z 200 GET /x 12 ms 203.0.113.7"),
        (row(at="2026-11-29T09:52:39", seconds=math.nan), "2026-11-29T09:52:39Z 200 GET /x below 1 ms 203.0.113.7"),
    ],
)  # fmt: skip
def test_a_request(given, line):
    assert lines.request(given, with_host=False) == line


def test_a_host_where_there_are_several():
    assert lines.where(row("/x"), with_host=True) == "me.example.com/x"


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "2026-11-29T09:52:39Z", "x"])
def test_every_time_can_be_shown(at):
    assert len(lines.time_of_day(row(at=at))) in {1, 8}
    assert lines.request(row(at=at), with_host=False)


def test_an_address():
    address = Address("http://localhost:5173", "https://me.example.com/\x1b")
    assert lines.published(address) == "http://localhost:5173 is published at https://me.example.com/\\x1b"
    assert lines.gone(address) == "http://localhost:5173 is no longer published at https://me.example.com/\\x1b"
    assert lines.host_of(address) == "me.example.com"
    assert lines.host_of(Address("", "https://[x")) == "https://[x"

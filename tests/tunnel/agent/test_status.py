"""`tunnel-agent status`: what it prints and exits with, of answers that are given to it."""

import json

import msgspec
import pytest

from tests.tunnel.agent.reports import READY, WAITING, report_with
from tunnel.agent import status


def answering(monkeypatch, answer):
    def fetch(url):
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer) + b"\n"

    monkeypatch.setattr(status, "fetch", fetch)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (report_with(READY, WAITING), 0),
        (report_with(WAITING), 1),
        (status.NotReachedError("no agent answers at http://h:1: refused; start it"), 3),
        (b"<h1>It works</h1>", 3),
        (b"{}", 3),
        (b'{"version": "\xff"}', 3),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_codes(monkeypatch, capsys, answer, code, as_json):
    answering(monkeypatch, answer)
    assert status.main("http://h:1", as_json=as_json) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code != 3)
    if code == 3:
        assert err.startswith("tunnel-agent: ")
        assert err.count("\n") == 1
        assert "http://h:1" in err


def test_for_machines_it_is_what_the_agent_said(monkeypatch, capsys):
    answering(monkeypatch, report_with(READY))
    status.main("http://h:1", as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(msgspec.json.encode(report_with(READY)))


def test_for_people(monkeypatch, capsys):
    answering(monkeypatch, report_with(READY, WAITING))
    status.main("http://h:1", as_json=False)
    since = "2026-01-02T03:04:05.678Z"
    assert capsys.readouterr().out.splitlines() == [
        "agent agent-7 of cluster c1: ready",
        "  version 1.2.3, dialect yamux, up 1 h 2 min",
        "  3 streams now; since the start 2.0 KiB to services, 5.0 MiB back",
        "  12 bytes held for slow services, of 64.0 MiB",
        "  streams without a connection to their service: 4 refused, 1 not_allowed",
        f"wss://a.example/agent: ready for 1 min 5 s (since {since}), round trip 12 ms, link 1a2b3c4d, 3 streams",
        "  dials so far: 3 ready, 2 unreachable",
        "  last failure at 2026-01-02T03:04:00.000Z: cannot connect: no answer in time",
        "wss://b.example/agent: waiting for 0.5 s (since 2026-01-02T03:05:00.000Z), next attempt in 1.5 s",
        "  dials so far: 7 refused",
        "  last failure at 2026-01-02T03:05:00.000Z: the gateway answered 503 (agent_refused): No.",
    ]


def test_an_agent_that_stops_says_so():
    assert status.shown(report_with(READY, stopping=True)).splitlines()[0].startswith("agent agent-7 of cluster c1: ")
    assert "stopping" in status.shown(report_with(READY, stopping=True))

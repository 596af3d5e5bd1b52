"""What each path answers, by how the agent is."""

import msgspec
import pytest

from tests.tunnel.agent.reports import READY, WAITING, report_with
from tunnel.agent.health.pages import PAGES, page
from tunnel.agent.report import AgentReport
from tunnel.agent.standing import State

FRESH = msgspec.structs.replace(WAITING, state=State.CONNECTING, last_failure=None)


def no_report():
    raise AssertionError("nobody needs a report for this")


def test_healthz_asks_nothing():
    found = page("/healthz", no_report)
    assert (found.status, found.text) == (200, "ok\n")


A_READY = "wss://a.example/agent: ready since 2026-01-02T03:04:05.678Z"
B_WAITING = "wss://b.example/agent: waiting since 2026-01-02T03:05:00.000Z"
B_WHY = "the gateway answered 503 (agent_refused): No."
B_FRESH = "wss://b.example/agent: connecting since 2026-01-02T03:05:00.000Z"
NOT_READY = "not ready: registered at no gateway"


@pytest.mark.parametrize(
    ("report", "status", "lines"),
    [
        (report_with(READY), 200, ["ready", A_READY]),
        (report_with(READY, WAITING), 200, ["ready", A_READY, f"{B_WAITING}: {B_WHY}"]),
        (report_with(WAITING), 503, [NOT_READY, f"{B_WAITING}: {B_WHY}"]),
        (report_with(FRESH), 503, [NOT_READY, B_FRESH]),
        (report_with(READY, stopping=True), 503, ["stopping", A_READY]),
    ],
)
def test_readyz(report, status, lines):
    found = page("/readyz", lambda: report)
    assert (found.status, found.text.splitlines()) == (status, lines)
    assert found.text.endswith("\n")


def test_status_is_the_report():
    report = report_with(READY, WAITING)
    found = page("/status", lambda: report)
    assert (found.status, found.content_type) == (200, "application/json")
    assert msgspec.json.decode(found.text, type=AgentReport) == report
    assert found.text.endswith("}\n")


def test_metrics_are_prometheus_text():
    found = page("/metrics", lambda: report_with(READY))
    assert (found.status, found.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "agent_streams_active 3\n" in found.text


@pytest.mark.parametrize("path", ["/", "/healthz/", "/-/status", "/METRICS", ""])
def test_other_paths_say_what_there_is(path):
    found = page(path, no_report)
    assert found.status == 404
    assert all(name in found.text for name in PAGES)

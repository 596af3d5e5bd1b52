"""What the agent's own endpoints answer: `/healthz`, `/readyz`, `/status`, `/metrics`.

Pure: each page is made of a report. None of them has a secret or a service's name in it, so they need no token; who may
reach the listener is decided by where it listens.
"""

from collections.abc import Callable

import msgspec

from tunnel.agent import metrics
from tunnel.agent.health.request import Page
from tunnel.agent.report import AgentReport


def page(path: str, report: Callable[[], AgentReport]) -> Page:
    """The page of a path; asks for a report only where it is needed."""
    make = PAGES.get(path)
    return _nothing() if make is None else make(report)


def _healthz(report: Callable[[], AgentReport]) -> Page:  # noqa: ARG001 (all pages are called so)
    """The process answers."""
    return Page(200, "ok\n")


def _readyz(report: Callable[[], AgentReport]) -> Page:
    """Whether a gateway has taken this agent: which one, or why none has."""
    now = report()
    title = "stopping" if now.stopping else "ready" if now.ready else "not ready: registered at no gateway"
    lines = [title, *(gateway.line for gateway in now.gateways)]
    return Page(200 if now.ready and not now.stopping else 503, "\n".join([*lines, ""]))


def _status(report: Callable[[], AgentReport]) -> Page:
    return Page(200, f"{msgspec.json.encode(report()).decode()}\n", "application/json")


def _metrics(report: Callable[[], AgentReport]) -> Page:
    return Page(200, metrics.render(report()), metrics.CONTENT_TYPE)


def _nothing() -> Page:
    return Page(404, f"nothing here; there are {', '.join(PAGES)}\n")


PAGES: dict[str, Callable[[Callable[[], AgentReport]], Page]] = {
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/status": _status,
    "/metrics": _metrics,
}

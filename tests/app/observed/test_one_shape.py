"""The lines of the gateway, of its server and of the agent have one form."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from app.observed import log as gateways
from tunnel.agent import log as agents

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)")
NAMES = ("", "tunnel.agent", "picows", "asyncio", "uvicorn", "uvicorn.error")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The process's logging, as the other tests know it, without what one of them configured for a server."""
    named = [logging.getLogger(name) for name in NAMES]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in named]
    for logger in named[1:]:
        logger.handlers[:], logger.propagate = [], True
    yield
    gateways.access.shorten(None)
    for logger, handlers, level, propagate in before:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines_of(configure: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a program writes about the same events, each without its time."""
    with monkeypatch.context() as patch:
        stream = io.StringIO()
        patch.setattr(sys, "stderr", stream)
        configure()
        for name in ("tunnel.agent.link", "asyncio", "uvicorn.error"):
            logger = logging.getLogger(name)
            logger.warning("from %s", "b\x1bad\n\u202e", extra={"fields": {"request_id": "r1"}, "suppressed": 3})
            try:
                {}["gone"]
            except KeyError:
                logger.exception("failed")
    text = stream.getvalue()
    assert TIME.search(text)
    return TIME.sub("TIME", text).splitlines()


@pytest.mark.parametrize("style", ["text", "json"])
def test_both_programs_write_the_same(style: str, monkeypatch: pytest.MonkeyPatch):
    gateway = lines_of(lambda: gateways.configure("info", style), monkeypatch)
    agent = lines_of(lambda: agents.configure(style, "info"), monkeypatch)
    assert gateway == agent
    assert len(gateway) >= 6


def test_the_keys_of_a_json_line_of_the_agent(monkeypatch: pytest.MonkeyPatch):
    warned, failed, *_ = map(json.loads, lines_of(lambda: agents.configure("json", "info"), monkeypatch))
    assert warned == {
        "time": "TIME", "level": "warning", "logger": "tunnel.agent.link", "message": "from b\x1bad\n\u202e",
        "request_id": "r1", "suppressed": 3,
    }  # fmt: skip
    assert list(failed) == ["time", "level", "logger", "message", "error"]


def test_a_text_line_of_the_agent(monkeypatch: pytest.MonkeyPatch):
    first, *_ = lines_of(lambda: agents.configure("text", "info"), monkeypatch)
    assert first == r"TIME WARNING tunnel.agent.link from b\x1bad\n\u202e [and 3 more of this kind]"

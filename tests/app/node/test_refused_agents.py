"""Agents that were refused: a line, an event and a count for each, and no flood of either."""

import logging

import pytest

from app.node.refused_agents import EVENTS_PER_WINDOW, WINDOW_SECONDS, RefusedAgents
from app.observed.events import Events
from app.observed.metrics import AgentRefused, Metrics
from app.settings import token_hash
from tests.fakes.clock import Clock


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.events = Events()
        self.refused = RefusedAgents(self.metrics, self.events, self.clock)

    def refuse(self, reason: AgentRefused = AgentRefused.UNKNOWN_TOKEN, **who: object) -> None:
        self.refused.told(reason, 503, "no", address="192.0.2.7", **who)  # type: ignore[arg-type]


def test_line_event_and_count_say_the_same(caplog: pytest.LogCaptureFixture):
    w = World()
    digest = token_hash("a secret token")
    w.refuse(AgentRefused.NOT_COVERED, cluster="c9", agent="a1", token=digest)
    shown = f"sha256:{digest.hex()[:8]}"
    text = f"agent from 192.0.2.7 refused with 503: no (cluster c9, token {shown})"
    (record,) = caplog.records
    assert (record.levelno, record.name, record.getMessage()) == (logging.WARNING, "gateway.agents", text)
    (event,) = w.events.since()
    assert (event.kind, event.level, event.message) == ("link_refused", "warning", text)
    assert (event.cluster, event.agent, event.address) == ("c9", "a1", "192.0.2.7")
    assert (event.code, event.token) == ("not_covered", shown)
    assert w.metrics.agents_refused[AgentRefused.NOT_COVERED] == sum(w.metrics.agents_refused.values()) == 1


def test_an_empty_token_has_no_hash(caplog: pytest.LogCaptureFixture):
    w = World()
    w.refuse(AgentRefused.NO_TOKEN, token=token_hash(""))
    w.refuse(AgentRefused.NO_TOKEN, cluster="c1")
    assert [event.token for event in w.events.since()] == [None, None]
    ends = [record.getMessage().partition("(")[2] for record in caplog.records]
    assert ends == ["no token)", "cluster c1, no token)"]


def test_what_an_agent_claims_forges_no_line(caplog: pytest.LogCaptureFixture):
    w = World()
    w.refuse(cluster="c\n12:00 forged" + "x" * 10_000, agent="\x1b[31m")
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 400


def test_a_stranger_floods_neither_events_nor_other_reasons():
    w = World()
    for _ in range(1_000):
        w.refuse()
    w.refuse(AgentRefused.TOKEN_REVOKED)
    codes = [event.code for event in w.events.since()]
    assert codes == ["unknown_token"] * EVENTS_PER_WINDOW + ["token_revoked"]
    w.clock.now += WINDOW_SECONDS
    w.refuse()
    assert w.events.since()[-1].message.endswith("[and 980 more of this kind]")
    assert w.metrics.agents_refused[AgentRefused.UNKNOWN_TOKEN] == 1_001

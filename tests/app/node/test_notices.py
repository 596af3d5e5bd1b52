"""Limits that were hit and files that were set aside, as events: one of a limit in ten seconds."""

from dataclasses import replace

from app.node.notices import QUIET_SECONDS, Notices
from app.observed.events import Events
from app.observed.metrics import Limit, Metrics
from tests.app.observed.records import GOOD


class World:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.events = Events()
        self.notices = Notices(self.metrics, self.events)

    def told(self, now: float) -> list[tuple[str | None, str]]:
        before = self.events.last_number
        self.notices.tick(now)
        return [(event.code, event.message) for event in self.events.since(before)]


def test_nothing_is_told_while_nothing_happens():
    w = World()
    assert w.told(1.0) == w.told(100.0) == []


def test_a_burst_of_hits_is_one_event_at_once_and_one_ten_seconds_later():
    w = World()
    w.metrics.limit_hit(Limit.HELD_HIGH)
    assert w.told(1.0) == [("held_high", "limit held_high was hit once")]
    for second in range(2, 11):
        for _ in range(1_000):
            w.metrics.limit_hit(Limit.HELD_HIGH)
        assert w.told(float(second)) == []
    assert w.told(1.0 + QUIET_SECONDS) == [("held_high", "limit held_high was hit 9000 times")]
    assert w.told(100.0) == []


def test_each_limit_is_told_by_itself():
    w = World()
    w.metrics.limit_hit(Limit.ORIGIN)
    assert [code for code, _ in w.told(1.0)] == ["origin"]
    w.metrics.limit_hit(Limit.SPOOL)
    assert [code for code, _ in w.told(2.0)] == ["spool"]


def test_the_last_exchange_that_hit_it_is_named_without_its_query():
    w = World()
    record = replace(GOOD)
    record.path = b"/ws?token=secret"
    w.metrics.limit_hit(Limit.WEBSOCKETS_ROUTE, record)
    w.notices.tick(1.0)
    (event,) = w.events.since()
    assert event.message.startswith("limit websockets_route was hit once, last by ")
    assert event.message.endswith(f"/ws, id {record.request_id}")
    assert record.target is not None
    assert (event.cluster, event.level) == (record.target.cluster, "warning")
    assert w.metrics.last_limited == {}


def test_files_set_aside_are_told_with_what_is_wrong():
    w = World()
    w.notices.tick(1.0, [("damaged", "/state/learned.sqlite is damaged: kept as /state/x")])
    (event,) = w.events.since()
    assert (event.kind, event.code, event.level) == ("state_file", "damaged", "warning")

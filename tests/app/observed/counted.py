"""What a gateway's metrics say, as a scraper reads it."""

from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse_text

from app.observed.access import Record
from app.observed.metrics import Metrics, Snapshot
from tunnel.port import Target


def record(kind: Any = "http", **parts: Any) -> Record:
    made = Record(kind, "r1", "GET", b"h", b"/", Target("c1", "apps", "web", 80), 100.0)
    made.status, made.ended_at = 200, 100.25
    for name, value in parts.items():
        setattr(made, name, value)
    return made


class Told:
    """A source that says what it was told."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.now = snapshot

    def snapshot(self) -> Snapshot:
        return self.now


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of the labels' names) -> value."""
    text = metrics.render(None)[0].decode()
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def changed(what: Callable[[Metrics], object]) -> dict[tuple[str, ...], float]:
    """What is no longer as at the start, `process_*` aside."""
    metrics = Metrics()
    before = samples(metrics)
    what(metrics)
    after = samples(metrics)
    return {
        key: value
        for key, value in after.items()
        if before.get(key, 0.0) != value and not key[0].startswith("process_")
    }

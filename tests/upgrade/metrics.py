"""The metrics as a scraper reads them, and as they were recorded, in the same form."""

import sys
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.upgrade.recorded import KEPT, lines

Metrics = dict[str, dict[str, Any]]
"""Name -> its `type`, and its `labels` with the values that each takes."""


def recorded_metrics() -> Metrics:
    """What `kept/metrics.txt` says; `process_*` on Linux only, where they are."""
    found: Metrics = {}
    for line in lines(KEPT / "metrics.txt"):
        name, kind, *labels = line.split(" ")
        if name.startswith("process_") and sys.platform != "linux":
            continue
        split = [label.partition("=") for label in labels]
        found[name] = {
            "type": kind,
            "labels": {label: dict.fromkeys(filter(None, values.split("|")), True) for label, _, values in split},
        }
    return found


def exported(text: str) -> Metrics:
    """What an answer of /metrics says."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels: dict[str, dict[str, bool]] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    labels.setdefault(label, {})[value] = True
        found[name] = {"type": family.type, "labels": labels}
    return found

"""What the gateway counts, and how Prometheus reads it. See `docs/observability.md` for each metric's meaning."""

from app.metrics.counts import REQUEST_SECONDS, Distribution, Stall, StallTotal, Traffic
from app.metrics.labels import ClusterLabels, Limit, code_class, limit_of, limit_of_error, status_class
from app.metrics.metrics import Metrics
from app.metrics.snapshot import Snapshot, Source, link_state

__all__ = [
    "REQUEST_SECONDS",
    "ClusterLabels",
    "Distribution",
    "Limit",
    "Metrics",
    "Snapshot",
    "Source",
    "Stall",
    "StallTotal",
    "Traffic",
    "code_class",
    "limit_of",
    "limit_of_error",
    "link_state",
    "status_class",
]

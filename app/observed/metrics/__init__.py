"""What the gateway counts, and how Prometheus reads it. `docs/observability.md` explains each metric."""

from .counts import REQUEST_SECONDS, Distribution, Stall, StallTotal, Tls, Traffic
from .labels import (
    AgentRefused,
    ClusterLabels,
    HeaderFault,
    Limit,
    Relieved,
    Shed,
    code_class,
    limit_of,
    limit_of_error,
    status_class,
)
from .metrics import Metrics
from .snapshot import Snapshot, Source, link_state

__all__ = [
    "REQUEST_SECONDS",
    "AgentRefused",
    "ClusterLabels",
    "Distribution",
    "HeaderFault",
    "Limit",
    "Metrics",
    "Relieved",
    "Shed",
    "Snapshot",
    "Source",
    "Stall",
    "StallTotal",
    "Tls",
    "Traffic",
    "code_class",
    "limit_of",
    "limit_of_error",
    "link_state",
    "status_class",
]

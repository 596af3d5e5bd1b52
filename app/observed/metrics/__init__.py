"""What the gateway counts, and how Prometheus reads it. `docs/observability.md` explains each metric."""

from .counts import REQUEST_SECONDS, Distribution, Reloads, Stall, StallTotal, Tls, Traffic
from .faults import breaker_of
from .labels import (
    AgentRefused,
    ClusterLabels,
    HeaderFault,
    HopEnd,
    Limit,
    Relieved,
    Shed,
    WriteEnd,
    code_class,
    limit_of,
    limit_of_error,
    status_class,
)
from .metrics import Metrics
from .nodes import BucketSnapshot, NodesSnapshot
from .snapshot import Snapshot, Source, link_state

__all__ = [
    "REQUEST_SECONDS",
    "AgentRefused",
    "BucketSnapshot",
    "ClusterLabels",
    "Distribution",
    "HeaderFault",
    "HopEnd",
    "Limit",
    "Metrics",
    "NodesSnapshot",
    "Relieved",
    "Reloads",
    "Shed",
    "Snapshot",
    "Source",
    "Stall",
    "StallTotal",
    "Tls",
    "Traffic",
    "WriteEnd",
    "breaker_of",
    "code_class",
    "limit_of",
    "limit_of_error",
    "link_state",
    "status_class",
]

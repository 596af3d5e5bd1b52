"""What is counted for each cluster, for objectives: requests by whose fault they failed, heads, WebSockets.

At most 1,000 clusters, then `other`. Of each at most 40 series, and some 20 in practice: 4 faults by 7 classes of
statuses, a histogram of 10 lines, two of WebSockets; so at most 40,040 in all. A cluster that no route and no token
names any more ends with the next scrape, and makes room.

The samples are written as text here: `prometheus_client` needs 5 us for each, 80 ms on the event loop for 1,000
clusters. This takes a tenth of that. Both formats write them alike, and differ in the families' heads only.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from prometheus_client.utils import floatToGoString

from .counts import HEAD_SECONDS, Distribution
from .faults import Fault
from .labels import ClusterLabels, status_class

_FIRST = (("2xx", Fault.NONE), ("4xx", Fault.CLIENT), ("5xx", Fault.SERVICE), ("5xx", Fault.TUNNEL))
"""There from the start, with 0: Prometheus sees no increase in a series that appears with its first request."""

_BORDERS = (*map(floatToGoString, HEAD_SECONDS), "+Inf")

_REQUESTS = "gateway_cluster_requests"
_SECONDS = "gateway_cluster_request_head_seconds"
_ACTIVE = "gateway_cluster_websockets_active"
_CUT = "gateway_cluster_websockets_cut"


class ClusterCounts:
    """Of one cluster."""

    __slots__ = ("cut", "head_seconds", "requests")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, Fault], int] = dict.fromkeys(_FIRST, 0)
        """By class of status and fault."""
        self.head_seconds = Distribution(HEAD_SECONDS)
        self.cut = 0
        """Open WebSockets that were closed because the agent was lost, or the gateway stopped or had no room."""

    def ended(self, status: int, fault: Fault, count: int = 1) -> None:
        """Count requests."""
        key = status_class(status), fault
        self.requests[key] = self.requests.get(key, 0) + count

    def answered(self, seconds: list[float]) -> None:
        """Count the heads of answers."""
        self.head_seconds.add_all(seconds)


class Clusters:
    """Of all clusters of one gateway."""

    __slots__ = ("_counts", "_labels", "_open")

    def __init__(self, labels: ClusterLabels) -> None:
        """`labels` are shared with the other families that have the label `cluster`."""
        self._labels = labels
        self._counts: dict[str, ClusterCounts] = {}
        self._open: Counter[str] = Counter()  # by the cluster's own name: its label may change while one is open

    def of(self, cluster: str) -> ClusterCounts:
        """The counts of a cluster."""
        label = self._labels.label(cluster)
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = ClusterCounts()
        return counts

    def opened(self, cluster: str) -> None:
        """A WebSocket opened."""
        self._open[cluster] += 1

    def closed(self, cluster: str) -> None:
        """A WebSocket that had opened ended."""
        self._open[cluster] -= 1
        if self._open[cluster] <= 0:
            del self._open[cluster]

    def keep(self, clusters: Collection[str]) -> set[str]:
        """End the series of all other clusters. Returns their labels."""
        gone = self._labels.keep({*clusters, *self._open})
        for label in gone:
            self._counts.pop(label, None)
        return gone

    def text(self, configured: Iterable[str], *, open_metrics: bool) -> str:
        """The families as text. `configured`: clusters that are to have series though nothing was counted."""
        active: Counter[str] = Counter()
        for cluster in dict.fromkeys((*configured, *self._open)):
            self.of(cluster)
            active[self._labels.label(cluster)] += self._open.get(cluster, 0)
        counted = [(_escaped(label), counts) for label, counts in self._counts.items()]
        open_now = [f'{_ACTIVE}{{cluster="{_escaped(label)}"}} {active.get(label, 0)}.0\n' for label in self._counts]
        cut = [f'{_CUT}_total{{cluster="{label}"}} {counts.cut}.0\n' for label, counts in counted]
        parts = (
            _head(_REQUESTS, "counter", "Requests for a cluster's services, by whose fault they failed", open_metrics),
            *_requests(counted),
            _head(_SECONDS, "histogram", "From a request's head to the head of the answer, of a cluster", open_metrics),
            *_heads(counted),
            _head(_ACTIVE, "gauge", "WebSockets open to a cluster's services", open_metrics),
            *open_now,
            _head(_CUT, "counter", "Open WebSockets that the tunnel ended", open_metrics),
            *cut,
        )  # fmt: skip
        return "".join(parts)


_Counted = Sequence[tuple[str, ClusterCounts]]


def _requests(counted: _Counted) -> Iterator[str]:
    for label, counts in counted:
        for (status, fault), count in counts.requests.items():
            yield f'{_REQUESTS}_total{{cluster="{label}",fault="{fault.value}",status_class="{status}"}} {count}.0\n'


def _heads(counted: _Counted) -> Iterator[str]:
    for label, counts in counted:
        reached = counts.head_seconds.cumulative()
        for border, count in zip(_BORDERS, reached, strict=True):
            yield f'{_SECONDS}_bucket{{cluster="{label}",le="{border}"}} {count}.0\n'
        yield f'{_SECONDS}_count{{cluster="{label}"}} {reached[-1]}.0\n'
        yield f'{_SECONDS}_sum{{cluster="{label}"}} {counts.head_seconds.total}\n'


def _head(name: str, kind: str, about: str, open_metrics: bool) -> str:
    """How a family begins. A counter's name ends with `_total`, which OpenMetrics leaves out here."""
    shown = f"{name}_total" if kind == "counter" and not open_metrics else name
    return f"# HELP {shown} {about}\n# TYPE {shown} {kind}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

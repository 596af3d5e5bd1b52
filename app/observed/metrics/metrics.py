"""The metrics of one gateway: the public side reports what happened, and Prometheus reads it.

Each gateway has its own `Metrics` and its own registry, so two gateways in one process do not mix. Counts are plain
numbers (`counts.py`), label values are bounded (`labels.py`), and gauges are read from the gateway's state at scrape
time. Every method is a synchronous call on the gateway's event loop. No method raises because of its arguments.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from tunnel.gateway.waiting_room import WaitEnd
from tunnel.port import Target
from tunnel.wire import publishing

from ..record import Record
from .clusters import Clusters
from .counts import LAG_SECONDS, REQUEST_SECONDS, Distribution, Reloads, StallTotal, Tls, Traffic
from .families import (
    by_direction,
    counter,
    gauge,
    histogram,
    labelled,
    process_families,
    reload_families,
    tls_families,
)
from .faults import Fault, fault_of, fault_of_break
from .labels import (
    LINK_STATES,
    OTHER,
    OUTCOMES,
    SIDES,
    AgentRefused,
    ClusterLabels,
    HeaderFault,
    Limit,
    Relieved,
    Shed,
    code_class,
    method_label,
    status_class,
)
from .nodes import nodes_families
from .snapshot import Snapshot, Source

Limited = tuple[str, bytes, bytes, Target | None]
"""Of an exchange that hit a limit: its request id, host, raw path and target."""

_LATEST = 256
"""Requests to give their labels and buckets at once: enough to make each cheap."""

_NO_HEAD = -1.0
"""In place of the seconds of a request that got no head of an answer."""

_CUT_CODES = frozenset({1012, 1013})
"""Close codes of the gateway for WebSockets whose agent was lost, that it stops serving, or that it has no room for."""


class Metrics:
    """All counts of one gateway."""

    def __init__(self) -> None:
        self.client_to_service = Traffic()
        self.service_to_client = Traffic()
        self.request_bytes_up = 0
        """Of request bodies, from clients. The public side adds to it as the bytes pass."""
        self.request_bytes_down = 0
        """Of the bodies of answers, to clients."""
        self.stalled_by_client = StallTotal()
        self.stalled_by_service = StallTotal()
        self.tls = Tls()
        self.reloads = Reloads()
        self.loop_lag = Distribution(LAG_SECONDS)
        """How late the gateway's tick was called."""
        self.websockets_active = 0
        self.connections_limit = 0
        """The bound on clients' connections; 0: there is none."""
        self.connections_shed = dict.fromkeys(Shed, 0)
        """Connections that were ended because of it."""
        self._requests: Counter[tuple[str, str, str]] = Counter()
        """By the values of their labels, as of the last `_take_latest`."""
        self._counted: dict[tuple[str | bytes, int, str, str], list[float]] = {}
        """The requests since then, by method, status, outcome and cluster: the seconds until the head of each answer.

        Methods and outcomes are known ones. Never more than `_LATEST` in all."""
        self._request_seconds = Distribution(REQUEST_SECONDS)
        self._head_seconds = Distribution(REQUEST_SECONDS)
        self._latest: list[float] = []
        """Of `_request_seconds`, those that are not in it yet."""
        self.limits_hit = dict.fromkeys(Limit, 0)
        self.last_limited: dict[Limit, Limited] = {}
        """Limit -> the last exchange that hit it, where one did. Whoever tells of it takes it out."""
        self.relieved = dict.fromkeys(Relieved, 0)
        """What was ended to make room."""
        self.agents_refused = dict.fromkeys(AgentRefused, 0)
        self.headers_refused = dict.fromkeys(HeaderFault, 0)
        """Balancers' connections that were closed because of their PROXY header."""
        self._closes: Counter[tuple[str, str]] = Counter()
        self._clusters = ClusterLabels()
        self._by_cluster = Clusters(self._clusters)
        self._joined: Counter[str] = Counter()
        self._source: Source | None = None
        self._registry = CollectorRegistry()
        self._families = _Families(self)
        self._registry.register(self._families)
        ProcessCollector(registry=self._registry)

    # --- reported by the public side and by agents' sockets

    def websocket_opened(self, record: Record) -> None:
        """The client got its 101. Exactly one `ended` with this record follows."""
        record.opened = True
        self.websockets_active += 1
        self._requests["GET", "1xx", "ok"] += 1
        seconds = record.head_at - record.began if record.head_at is not None else None
        if seconds is not None:
            self._head_seconds.add(seconds)
        if record.target is not None:
            cluster = record.target.cluster
            self._by_cluster.opened(cluster)
            counts = self._by_cluster.of(cluster)
            counts.ended(101, Fault.NONE)
            counts.answered([seconds] if seconds is not None else [])

    def ended(self, record: Record) -> None:
        """An exchange has ended, in whatever way. Called once for each."""
        if record.opened:
            self._websocket_ended(record)
            return
        target, latest, began, head_at, ended_at = (
            record.target, self._latest, record.began, record.head_at, record.ended_at
        )  # fmt: skip
        key = (record.method, record.status, record.outcome, target.cluster if target is not None else "")
        seconds = head_at - began if head_at is not None else _NO_HEAD
        try:
            self._counted[key].append(seconds)
        except KeyError:
            self._count_first(record, key, seconds)
        latest.append(ended_at - began if ended_at is not None else 0.0)
        if len(latest) >= _LATEST:
            self._take_latest()

    def limit_hit(self, limit: Limit, record: Record | None = None) -> None:
        """An exchange reached a limit. If the limit ends the exchange, its record names the limit."""
        self.limits_hit[limit] += 1
        if record is not None:
            record.limit = limit.value
            self.last_limited[limit] = (record.request_id, record.host, record.path, record.target)

    def link_joined(self, cluster: str) -> None:
        """A link of this cluster became ready. Every one after the first counts as a reconnect."""
        self._joined[self._clusters.label(cluster)] += 1

    def watch(self, source: Source) -> None:
        """Read the gauges from `source` from now on."""
        self._source = source

    def activity(self) -> tuple[int, ...]:
        """Numbers that stay the same only while no exchange begins, ends or carries anything."""
        up, down = self.client_to_service, self.service_to_client
        return (
            sum(self._request_seconds.counts) + len(self._latest), self.websockets_active, sum(self._closes.values()),
            up.messages, down.messages, self.request_bytes_up, self.request_bytes_down,
        )  # fmt: skip

    # --- read by Prometheus

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics if `accept` names it, else the text format.

        The library would decide too, but it copies the requested version into the content type.
        """
        state = self._families.state = self._source.snapshot() if self._source is not None else Snapshot()
        self._take_latest()
        if state.known_clusters is not None:
            for label in self._by_cluster.keep(state.known_clusters):
                self._joined.pop(label, None)
        if accept is not None and "application/openmetrics-text" in accept.lower():
            body: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # the library has no types for it
            clusters = self._by_cluster.text(state.clusters, open_metrics=True)
            return b"%b%b# EOF\n" % (body.removesuffix(b"# EOF\n"), clusters.encode()), openmetrics.CONTENT_TYPE_LATEST
        clusters = self._by_cluster.text(state.clusters, open_metrics=False)
        return generate_latest(self._registry) + clusters.encode(), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self, state: Snapshot) -> Iterator[Metric]:
        """Every family that `prometheus_client` renders: all but those of the clusters."""
        yield from self._websockets()
        yield from self._exchanges()
        yield from self._state(state)
        yield from tls_families(self.tls)
        yield from reload_families(self.reloads)
        yield from nodes_families(state.nodes)
        yield from process_families(self.loop_lag)

    # --- inside

    def _websocket_ended(self, record: Record) -> None:
        record.opened = False
        self.websockets_active -= 1
        side = record.closed_by if record.closed_by in SIDES else OTHER
        self._closes[side, code_class(record.close_code)] += 1
        if record.target is not None:
            self._by_cluster.closed(record.target.cluster)
            if side == "gateway" and record.close_code in _CUT_CODES:
                self._by_cluster.of(record.target.cluster).cut += 1

    def _count_first(self, record: Record, key: tuple[str | bytes, int, str, str], seconds: float) -> None:
        """A request of a kind that was not seen lately, or of one that nobody knows."""
        method, status, outcome, cluster = key
        method = method if method_label(method) != OTHER else OTHER
        outcome = outcome if outcome in OUTCOMES else OTHER
        if outcome == "broken_off":  # rare, and its record says whose fault it was: never in `_counted`
            self._count(method, status, outcome, cluster, fault_of_break(record), [seconds])
        else:
            self._counted.setdefault((method, status, outcome, cluster), []).append(seconds)

    def _take_latest(self) -> None:
        """Give the requests since the last call their labels and their buckets."""
        self._request_seconds.add_all(self._latest)
        self._latest.clear()
        for (method, status, outcome, cluster), seconds in self._counted.items():
            self._count(method, status, outcome, cluster, fault_of(status, outcome), seconds)
        self._counted.clear()

    def _count(
        self, method: str | bytes, status: int, outcome: str, cluster: str, fault: Fault, seconds: list[float]
    ) -> None:
        """Count requests of one kind, given the seconds until the head of each; changes the list."""
        self._requests[method_label(method), status_class(status), outcome] += len(seconds)
        counts = self._by_cluster.of(cluster) if cluster else None
        if counts is not None:
            counts.ended(status, fault, len(seconds))
        seconds.sort()
        del seconds[: bisect_left(seconds, 0.0)]  # those without a head
        if counts is not None:
            counts.answered(seconds)
        self._head_seconds.add_all(seconds)

    def _websockets(self) -> Iterator[Metric]:
        up, down = self.client_to_service, self.service_to_client
        yield gauge("websocket_connections_active", "WebSockets open through this gateway", self.websockets_active)
        yield by_direction("websocket_messages", "WebSocket messages passed on", up.messages, down.messages)
        yield by_direction("websocket_bytes", "Payload bytes of WebSocket messages", up.bytes, down.bytes)
        yield histogram(
            "websocket_message_duration_seconds",
            "From a message's last byte in to its last byte handed to the next hop's transport, both directions",
            up.durations, down.durations,
        )  # fmt: skip
        yield counter("gateway_websocket_closes", "Open WebSockets that ended, by whom, with which code",
                       ("by", "code_class"), self._closes.items())  # fmt: skip

    def _exchanges(self) -> Iterator[Metric]:
        yield counter("gateway_requests", "HTTP requests that ended, and WebSocket handshakes",
                       ("method", "status_class", "outcome"), self._requests.items())  # fmt: skip
        yield histogram("gateway_request_duration_seconds", "From a request's head to the end of its answer",
                         self._request_seconds)  # fmt: skip
        yield histogram("gateway_request_head_seconds", "From a request's head to the head of the service's answer",
                         self._head_seconds)  # fmt: skip
        yield by_direction("gateway_request_bytes", "Bytes of HTTP bodies", self.request_bytes_up,
                            self.request_bytes_down)  # fmt: skip
        stalls = ((("client",), self.stalled_by_client.seconds), (("service",), self.stalled_by_service.seconds))
        yield counter("gateway_stall_seconds", "Seconds that exchanges waited for a slow side", ("side",), stalls)
        limits = (((limit.value,), count) for limit, count in self.limits_hit.items())
        yield counter("gateway_limits_hit", "Exchanges that met a limit", ("limit",), limits)

    def _state(self, state: Snapshot) -> Iterator[Metric]:
        configured = dict.fromkeys(self._clusters.label(cluster) for cluster in state.clusters)
        links: Counter[tuple[str, str]] = Counter({(cluster, "ready"): 0 for cluster in configured})
        for cluster, name in state.links:
            links[self._clusters.label(cluster), name if name in LINK_STATES else OTHER] += 1
        yield labelled("gateway_links", "Agents' links", ("cluster", "state"), links.items())
        joined = {cluster: max(0, self._joined[cluster] - 1) for cluster in (configured | self._joined)}
        yield counter("gateway_link_reconnects", "Links that became ready after their cluster's first",
                       ("cluster",), (((cluster,), count) for cluster, count in joined.items()))  # fmt: skip
        refused = (((reason.value,), count) for reason, count in self.agents_refused.items())
        yield counter("gateway_agents_refused", "Agents' handshakes, registrations and calls that were refused",
                       ("reason",), refused)  # fmt: skip
        yield gauge("gateway_connections_active", "Connections of clients and agents", state.connections)
        yield gauge("gateway_connections_limit", "Bound on the connections; 0: none", self.connections_limit)
        yield counter("gateway_connections_shed", "Connections ended because of the bound", ("reason",),
                       (((reason.value,), count) for reason, count in self.connections_shed.items()))  # fmt: skip
        yield gauge("gateway_streams_active", "Exchanges that the links carry", state.streams)
        yield gauge("gateway_requests_waiting", "Requests that wait for an agent", state.waiting)
        yield counter("gateway_request_waits", "Requests that waited for an agent", ("outcome",),
                       (((end.value,), state.waits.get(end, 0)) for end in WaitEnd))  # fmt: skip
        yield gauge("gateway_held_bytes", "Bytes held for slow clients and services", state.held_bytes)
        yield labelled("gateway_held_bytes_limit", "Marks of the held bytes", ("mark",),
                        (((mark,), value) for mark, value in state.held_bytes_limits.items()))  # fmt: skip
        yield gauge("gateway_held_bytes_state", "0: below the high mark; 1: whoever stalls is ended; 2: new exchanges "
                     "are refused", state.held_bytes_state)  # fmt: skip
        relieved = (((reason.value,), count) for reason, count in self.relieved.items())
        yield counter("gateway_relieved", "Exchanges and connections that were ended to make room", ("reason",),
                       relieved)  # fmt: skip
        yield gauge("gateway_spooled_bytes", "Bytes in temporary files for slow clients", state.spooled_bytes)
        yield gauge("gateway_spooled_bytes_limit", "Limit of the bytes in files", state.spooled_bytes_limit)
        yield gauge("gateway_learned_routes", "Routes that agents registered", state.learned_routes)
        yield gauge("gateway_published_routes", "Routes that agents publish", state.published_routes)
        yield counter("gateway_publishes_refused", "Routes that agents wanted to publish and did not get", ("code",),
                       (((code.value,), state.publishes_refused.get(code, 0)) for code in publishing.Code))  # fmt: skip
        kept = [((), int(state.is_state_kept))] if state.is_state_kept is not None else []
        yield labelled("gateway_state_kept", "1 while state_dir has the learned routes, 0 while only memory does", (),
                        kept)  # fmt: skip
        yield counter("gateway_state_files_set_aside", "Files of learned routes that were renamed", ("reason",),
                       (((reason,), count) for reason, count in state.state_files_set_aside.items()))  # fmt: skip
        yield gauge("gateway_draining", "1 while the gateway drains", int(state.draining))
        faults = (((fault.value,), count) for fault, count in self.headers_refused.items())
        yield counter("gateway_proxy_headers_refused", "Connections closed because of their PROXY header", ("reason",),
                       faults)  # fmt: skip


class _Families(Collector):
    """What the registry collects from. It needs no `describe`, because every family is always there."""

    def __init__(self, metrics: Metrics) -> None:
        self.state = Snapshot()
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect(self.state)

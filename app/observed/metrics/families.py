"""Families of samples, as `prometheus_client` renders them; and those that are told by one object each."""

import platform
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from tunnel.version import VERSION

from .. import log
from .counts import Distribution, Reloads, Tls

Samples = Iterable[tuple[tuple[str, ...], float]]
"""The values of the labels, and the sample's own."""


def gauge(name: str, text: str, value: float) -> Metric:
    """One number."""
    return GaugeMetricFamily(name, text, value=value)


def labelled(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A gauge with labels. One that may be absent has no label, and at most one sample."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A counter with labels. `_total` comes after its name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def by_direction(name: str, text: str, up: float, down: float) -> Metric:
    """A counter of what passed."""
    return counter(name, text, ("direction",), ((("client_to_service",), up), (("service_to_client",), down)))


def histogram(name: str, text: str, *parts: Distribution) -> Metric:
    """One histogram from several distributions with the same borders."""
    counts = [sum(column) for column in zip(*(part.cumulative() for part in parts), strict=True)]
    borders = [*map(floatToGoString, parts[0].borders), "+Inf"]
    return HistogramMetricFamily(
        name, text, buckets=list(zip(borders, counts, strict=True)), sum_value=sum(part.total for part in parts)
    )


def tls_families(tls: Tls) -> Iterator[Metric]:
    """The public listener's TLS."""
    ends = ((("ok",), tls.ok), (("failed",), tls.failed), (("unfinished",), tls.unfinished))
    yield counter("gateway_tls_handshakes", "TLS handshakes with clients that ended", ("outcome",), ends)
    renewals = ((("ok",), tls.renewals), (("failed",), tls.renewals_failed))
    yield counter("gateway_tls_renewals", "Changes of the certificate's files", ("outcome",), renewals)
    expiry = [((), tls.not_after)] if tls.not_after is not None else []
    yield labelled("gateway_tls_certificate_expiry_timestamp_seconds", "End of the certificate's validity", (), expiry)


def reload_families(reloads: Reloads) -> Iterator[Metric]:
    """The configuration."""
    ends = ((("applied",), reloads.applied), (("unchanged",), reloads.unchanged), (("refused",), reloads.refused))
    yield counter("gateway_config_reloads", "Times that the configuration was read again", ("outcome",), ends)
    yield gauge("gateway_config_last_reload_successful", "0 after a reload that was refused", int(reloads.successful))
    at = [((), reloads.succeeded_at)] if reloads.succeeded_at is not None else []
    yield labelled("gateway_config_last_reload_success_timestamp_seconds",
                   "When the configuration in force was last read, or the start", (), at)  # fmt: skip


def process_families(lag: Distribution) -> Iterator[Metric]:
    """What runs here, and how it gets on. `lag`: of the event loop."""
    yield labelled("gateway_build_info", "1, with the versions as labels", ("version", "python"),
                   (((VERSION, platform.python_version()), 1),))  # fmt: skip
    yield histogram("gateway_loop_lag_seconds", "How late the event loop called a timer, twice a second", lag)
    yield counter("gateway_log_lines_dropped", "Lines of the log that standard error did not take", (),
                  (((), log.lines_dropped()),))  # fmt: skip
    yield counter("gateway_log_lines_suppressed", "Warnings that were left out because too many of their kind came", (),
                  (((), log.lines_suppressed()),))  # fmt: skip

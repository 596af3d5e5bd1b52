"""The agent's metrics in Prometheus' text format 0.0.4. `docs/observability.md` says what each one means.

A pure function of the report: nothing is counted here, and the agent needs no library for it.
"""

from collections.abc import Iterable, Mapping

from tunnel.agent.report import AgentReport, GatewayReport
from tunnel.agent.standing import Dial, State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Sample = tuple[Mapping[str, str], float]


def render(report: AgentReport) -> str:
    """The exposition, ending in a newline."""
    gateways = report.gateways
    return "".join((
        _family("agent_build_info", "gauge", "The agent's version; always 1.", [
            ({"version": report.version, "python": report.python, "dialect": report.dialect}, 1),
        ]),
        _family("agent_uptime_seconds", "gauge", "Seconds since the agent started.", [({}, report.uptime_seconds)]),
        _family("agent_links", "gauge", "1 for the state that each gateway's link is in.", _states(gateways)),
        _family("agent_dials_total", "counter", "Dials that ended, by how they came out.", [
            ({"outcome": dial}, sum(gateway.dials[dial] for gateway in gateways)) for dial in Dial
        ]),
        _family("agent_link_reconnects_total", "counter", "Links that became ready after the first to their gateway.", [
            ({"gateway": gateway.gateway}, gateway.reconnects) for gateway in gateways
        ]),
        _family("agent_round_trip_seconds", "gauge", "To the gateway and back.", [
            ({"gateway": gateway.gateway}, gateway.round_trip_seconds)
            for gateway in gateways if gateway.round_trip_seconds is not None
        ]),
        _family("agent_streams_active", "gauge", "Streams that the links carry.", [({}, report.streams)]),
        _family("agent_streams_refused_total", "counter", "Streams that got no connection to their service.", [
            ({"kind": kind}, number) for kind, number in report.streams_refused.items()
        ]),
        _family("agent_bytes_total", "counter", "Bytes between the gateways and the services.", [
            ({"direction": "client_to_service"}, report.client_to_service_bytes),
            ({"direction": "service_to_client"}, report.service_to_client_bytes),
        ]),
        _family("agent_held_bytes", "gauge", "Bytes held in memory for slow services and gateways.", [
            ({}, report.held_bytes),
        ]),
        _family("agent_held_bytes_limit", "gauge", "Windows grow only while less than this is held.", [
            ({}, report.memory_limit_bytes),
        ]),
    ))  # fmt: skip


def _states(gateways: Iterable[GatewayReport]) -> list[Sample]:
    return [
        ({"gateway": gateway.gateway, "state": state}, int(gateway.state is state))
        for gateway in gateways
        for state in State
    ]


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{_labels(labels)} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""

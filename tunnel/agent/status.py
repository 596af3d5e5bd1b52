"""`tunnel-agent status`: asks a running agent for its report and prints it.

Exits with 0 if the agent is registered at a gateway, with 1 if it is not, and with 3 if no agent answers. Needs nothing
of the running agent but its `--health-bind` address, and no settings.
"""

import http.client
from urllib.parse import urlsplit

import click
import msgspec

from tunnel.agent import units
from tunnel.agent.options import PROGRAM
from tunnel.agent.report import AgentReport, GatewayReport

ANSWER_SECONDS = 5.0
ANSWER_BYTES = 4 * 1024 * 1024
"""More than the report of a thousand gateways."""
NOT_READY = 1
NOT_REACHED = 3


class NotReachedError(Exception):
    """No agent answers; the text says why, and what to do."""


def main(url: str, *, as_json: bool) -> int:
    """Print the report; the exit status."""
    try:
        text = fetch(url).decode()
        report = msgspec.json.decode(text, type=AgentReport)
    except NotReachedError as error:
        click.echo(f"{PROGRAM}: {error}", err=True)
        return NOT_REACHED
    except (msgspec.DecodeError, UnicodeDecodeError):
        click.echo(f"{PROGRAM}: what answers at {url} is no agent; name the agent's --health-bind with --url", err=True)
        return NOT_REACHED
    click.echo(text.rstrip("\n") if as_json else shown(report))
    return 0 if report.ready else NOT_READY


def fetch(url: str) -> bytes:
    """The agent's `/status`. Raises NotReachedError."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/status", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        text = answer.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        msg = f"no agent answers at {url}: {why}; start it with --health-bind, and name that address with --url"
        raise NotReachedError(msg) from None
    finally:
        connection.close()
    if answer.status != 200:
        msg = (
            f"what answers at {url} is no agent: /status is {answer.status}; name the agent's --health-bind with --url"
        )
        raise NotReachedError(msg)
    return text


def shown(report: AgentReport) -> str:
    """The report for people."""
    state = "stopping" if report.stopping else "ready" if report.ready else "not ready"
    refused = ", ".join(f"{number} {kind}" for kind, number in report.streams_refused.items() if number)
    lines = [
        f"agent {report.agent_id} of cluster {report.cluster}: {click.style(state, bold=True)}",
        f"  version {report.version}, dialect {report.dialect}, up {units.duration(report.uptime_seconds)}",
        f"  {report.streams} streams now; since the start {_carried(report)}",
        f"  {units.size(report.held_bytes)} held for slow services, of {units.size(report.memory_limit_bytes)}",
    ]
    if refused:
        lines.append(f"  streams without a connection to their service: {refused}")
    for gateway in report.gateways:
        lines += _of_gateway(gateway)
    return "\n".join(lines)


def _carried(report: AgentReport) -> str:
    return (
        f"{units.size(report.client_to_service_bytes)} to services, {units.size(report.service_to_client_bytes)} back"
    )


def _of_gateway(gateway: GatewayReport) -> list[str]:
    parts = [f"{gateway.state} for {units.duration(gateway.since_seconds)} (since {gateway.since})"]
    if gateway.round_trip_seconds is not None:
        parts.append(f"round trip {units.milliseconds(gateway.round_trip_seconds)}")
    if gateway.next_attempt_in_seconds is not None:
        parts.append(f"next attempt in {units.duration(gateway.next_attempt_in_seconds)}")
    if gateway.link is not None:
        parts.append(f"link {gateway.link}, {gateway.streams} streams")
    lines = [f"{gateway.gateway}: {', '.join(parts)}"]
    dials = ", ".join(f"{number} {outcome}" for outcome, number in gateway.dials.items() if number)
    if dials:
        lines.append(f"  dials so far: {dials}")
    if gateway.last_failure is not None:
        lines.append(f"  last failure at {gateway.last_failure.at}: {gateway.last_failure.text}")
    return lines

"""What this agent says about itself: `/status`, and what `/readyz` and `/metrics` are made of.

The structs are the JSON, for the listener and for `tunnel-agent status` alike. Times are RFC 3339 in UTC, durations
end in `_seconds`, sizes in `_bytes`; what is not known is null. No secret is in any of them: a gateway is named by its
URL without the query. `Reporter` looks at the running parts and changes nothing.
"""

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tunnel.agent.keeper import Keeper
from tunnel.agent.link import Terms
from tunnel.agent.standing import Standing, State
from tunnel.agent.traffic import Running


class FailureReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why a dial failed, or a link ended."""

    at: str
    text: str


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway, and the link to it."""

    gateway: str
    state: State
    since: str
    since_seconds: float
    link: str | None
    """The name that the log has for it."""
    round_trip_seconds: float | None
    streams: int
    dials: dict[str, int]
    reconnects: int
    next_attempt_in_seconds: float | None
    last_failure: FailureReport | None

    @property
    def line(self) -> str:
        """The state, and what went wrong before it, for people."""
        said = f"{self.gateway}: {self.state} since {self.since}"
        if self.state is State.READY or self.last_failure is None:
            return said
        return f"{said}: {self.last_failure.text}"


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """The agent as a whole."""

    version: str
    python: str
    cluster: str
    agent_id: str
    dialect: str
    started_at: str
    uptime_seconds: float
    ready: bool
    """Registered at one gateway at least, and not told to stop."""
    stopping: bool
    gateways: list[GatewayReport]
    streams: int
    streams_refused: dict[str, int]
    """Since the start, by kind."""
    client_to_service_bytes: int
    service_to_client_bytes: int
    held_bytes: int
    memory_limit_bytes: int


class Reporter:
    """Reports on one agent."""

    def __init__(self, terms: Terms, keepers: Sequence[Keeper], memory_limit_bytes: int) -> None:
        self._terms = terms
        self._keepers = keepers
        self._memory_limit_bytes = memory_limit_bytes
        self._started_at = time.time()

    def report(self) -> AgentReport:
        """How it is now."""
        now = time.time()
        running = [_running(keeper) for keeper in self._keepers]
        gateways = [_gateway(keeper, one, now) for keeper, one in zip(self._keepers, running, strict=True)]
        who, traffic = self._terms.identity, self._terms.traffic
        return AgentReport(
            version=who.version,
            python=platform.python_version(),
            cluster=who.cluster,
            agent_id=who.agent_id,
            dialect=self._terms.dialect,
            started_at=moment(self._started_at),
            uptime_seconds=_seconds(now - self._started_at),
            ready=any(gateway.state is State.READY for gateway in gateways),
            stopping=any(gateway.state is State.LEAVING for gateway in gateways),
            gateways=gateways,
            streams=sum(one.streams for one in running),
            streams_refused=dict(traffic.refused),
            client_to_service_bytes=traffic.to_service_bytes + sum(one.to_service_bytes for one in running),
            service_to_client_bytes=traffic.to_gateway_bytes + sum(one.to_gateway_bytes for one in running),
            held_bytes=self._terms.account.held_bytes,
            memory_limit_bytes=self._memory_limit_bytes,
        )


def moment(at: float) -> str:
    """Unix time as RFC 3339, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _running(keeper: Keeper) -> Running:
    return keeper.link.running() if keeper.link is not None else Running()


def _gateway(keeper: Keeper, running: Running, now: float) -> GatewayReport:
    standing: Standing = keeper.standing
    until, failure = standing.next_attempt_at, standing.last_failure
    return GatewayReport(
        gateway=standing.gateway,
        state=standing.state,
        since=moment(standing.since),
        since_seconds=_seconds(now - standing.since),
        link=standing.link or None,
        round_trip_seconds=keeper.link.round_trip_seconds if keeper.link is not None else None,
        streams=running.streams,
        dials={str(dial): number for dial, number in standing.dials.items()},
        reconnects=standing.reconnects,
        next_attempt_in_seconds=None if until is None else _seconds(until - now),
        last_failure=None if failure is None else FailureReport(at=moment(failure.at), text=failure.text),
    )


def _seconds(duration: float) -> float:
    """Never negative, though the wall clock may be set back."""
    return round(max(0.0, duration), 3)

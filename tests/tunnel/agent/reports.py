"""A report of an agent, made up."""

from tunnel.agent.report import AgentReport, FailureReport, GatewayReport
from tunnel.agent.standing import Dial, State

READY = GatewayReport(
    gateway="wss://a.example/agent",
    state=State.READY,
    since="2026-01-02T03:04:05.678Z",
    since_seconds=65.0,
    link="1a2b3c4d",
    round_trip_seconds=0.0123,
    streams=3,
    dials={str(dial): 0 for dial in Dial} | {"ready": 3, "unreachable": 2},
    reconnects=2,
    next_attempt_in_seconds=None,
    last_failure=FailureReport(at="2026-01-02T03:04:00.000Z", text="cannot connect: no answer in time"),
)
WAITING = GatewayReport(
    gateway="wss://b.example/agent",
    state=State.WAITING,
    since="2026-01-02T03:05:00.000Z",
    since_seconds=0.5,
    link=None,
    round_trip_seconds=None,
    streams=0,
    dials={str(dial): 0 for dial in Dial} | {"refused": 7},
    reconnects=0,
    next_attempt_in_seconds=1.5,
    last_failure=FailureReport(at="2026-01-02T03:05:00.000Z", text="the gateway answered 503 (agent_refused): No."),
)


def report_with(*gateways, stopping=False):
    return AgentReport(
        version="1.2.3",
        python="3.11.7",
        cluster="c1",
        agent_id="agent-7",
        dialect="yamux",
        started_at="2026-01-02T03:00:00.000Z",
        uptime_seconds=3_725.0,
        ready=any(gateway.state is State.READY for gateway in gateways),
        stopping=stopping,
        gateways=list(gateways),
        streams=sum(gateway.streams for gateway in gateways),
        streams_refused={"refused": 4, "not_allowed": 1, "no_such_name": 0, "slow": 0, "other": 0},
        client_to_service_bytes=2_048,
        service_to_client_bytes=5 * 1024 * 1024,
        held_bytes=12,
        memory_limit_bytes=64 * 1024 * 1024,
    )

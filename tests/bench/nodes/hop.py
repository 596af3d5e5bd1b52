"""What it costs that the agent is on another node: `python -m tests.bench nodes-hop`, a minute.

Two real gateways and NATS. Clients ask the node that has the agent, then the one that has not; a round is both, and
medians of the differences and ratios within a round count. On a machine whose cores all processes share, the CPU of the
hop is in its latency, too.
"""

from collections.abc import Callable
from statistics import median

import uvloop

from tests.bench.figures import FIGURES, INTERVAL_SECONDS, WEBSOCKETS, Name, Way
from tests.bench.rounds import Round, Value, back, front, p50, rate, ratio, typical
from tests.bench.table import Table
from tests.system.harness import LOOPBACK, Service, Stack
from tests.system.nodes.stack import NodesStack
from tests.system.process import START_SECONDS, wait_until

ROUNDS = 7
SECONDS = 1.0
HERE, THERE = "no hop", "hop"

MOST_ADDED_US = 500.0
MOST_OWNER_US = 25.0
MOST_OWNER_MS_PER_MB = 2.0

SMALL = ("one connection", "keep-alive", "echo 64", "handshake")
BULK = ("download", "upload")
PACED = ("paced",)
ECHOES_EACH_SECOND = WEBSOCKETS / INTERVAL_SECONDS


class TwoNodes(NodesStack):
    """Clients come to the first, the agent is on the second."""

    count = 2


def ways(stack: TwoNodes, http: Service, websocket: Service) -> dict[str, Way]:
    asking, owner, agent = (one.popen.pid for one in (stack.gateway, stack.owner.gateway, stack.agent))

    def way(port: int, front_pid: int, back_pid: int) -> Way:
        return Way(*(Name((LOOPBACK, port), one.host) for one in (http, websocket)), (front_pid,), (back_pid,))

    return {HERE: way(stack.owner.port, owner, agent), THERE: way(stack.port, asking, owner)}


def rounds_of(found: dict[str, Way], key: str) -> list[Round]:
    figure = FIGURES[key]

    def one() -> Round:
        return {name: uvloop.run(figure.run(way, SECONDS)) for name, way in found.items()}

    one()
    return [one() for _ in range(ROUNDS)]


def added(rounds: list[Round], value: Value) -> float:
    """By the hop."""
    return median(value(found[THERE]) - value(found[HERE]) for found in rounds)


def held(value: float, most: float | None) -> list[str]:
    return ["", ""] if most is None else [f"{most:g}", "met" if value < most else "NOT MET"]


def table(title: str, measured: dict[str, list[Round]], divisor: float, most: Callable[[str], float | None]) -> Table:
    """CPU, divided by this, as of the node that has the agent: without a hop it has the client, too."""
    rows = []
    for key, rounds in measured.items():
        owner = typical(rounds, THERE, back) / divisor
        rows.append([
            FIGURES[key].title, f"{typical(rounds, HERE, front) / divisor:.2f}",
            f"{typical(rounds, THERE, front) / divisor:.2f}", f"{ratio(rounds, THERE, HERE, front):.2f}",
            f"{owner:.2f}", f"{ratio(rounds, THERE, HERE, back, base_value=front):.2f}", *held(owner, most(key)),
        ])  # fmt: skip
    head = ["", "no hop", "asking node", "times", "owner", "times", "must", ""]
    return Table(title, head, rows)


def latencies(measured: dict[str, list[Round]]) -> Table:
    rows = []
    for key in ("one connection", "keep-alive"):
        rounds = measured[key]
        more = added(rounds, p50)
        rows.append([
            FIGURES[key].title, f"{typical(rounds, HERE, p50):.0f}", f"{typical(rounds, THERE, p50):.0f}",
            f"{more:.0f}", *held(more, MOST_ADDED_US if key == "one connection" else None),
            f"{ratio(rounds, THERE, HERE, rate):.2f}",
        ])  # fmt: skip
    head = ["", "no hop", "hop", "added", "must", "", "requests/s, times"]
    return Table(f"Median latency over a hop, us; medians of {ROUNDS} rounds", head, rows)


def run(first: Stack) -> list[Table]:
    stack = TwoNodes(first.folder, first.processes, {"log_level": "warning"})
    http = stack.add_program("plain", "tests.services.plain")
    websocket = stack.add_program("bench-ws", "tests.bench.ws_service")
    stack.start()
    wait_until(stack._serves, START_SECONDS, "the first node knows the agent")
    found = ways(stack, http, websocket)
    small = {key: rounds_of(found, key) for key in SMALL}
    paced = {key: rounds_of(found, key) for key in PACED}
    bulk = {key: rounds_of(found, key) for key in BULK}
    return [
        latencies(small),
        table("CPU of an operation, us", small, 1, lambda key: MOST_OWNER_US if key == "keep-alive" else None),
        table("CPU of an echo that comes when nothing else does, us", paced, ECHOES_EACH_SECOND, lambda _: None),
        table("CPU of bulk, ms for a megabyte", bulk, 1e3, lambda _: MOST_OWNER_MS_PER_MB),
    ]

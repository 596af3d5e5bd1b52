"""What an operation costs at our gateway and agent, beside other proxies and tunnels: `python -m tests.bench peers`.

`python -m tests.bench quick` measures the rows that tell most, beside nginx and chisel, in less than two minutes.

nginx and HAProxy are plain proxies in front of the same services, each with one thread and no access log; they have
no tunnel. Ours has checks, limits and metrics on as by default, and its access log; plain uvicorn is measured without
it too, as it has no handler for it by default (`gateways.py`). CPU is that of the whole process. In each round every
contender is measured once; `rounds.py` says what is made of them. The load generator and the services are Python and
share the cores: they bound the rates, not the CPU of an operation.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench import comparison, gateways, proxy, tunnels
from tests.bench.figures import FIGURES, Figure, Name, Way
from tests.bench.rounds import Round
from tests.bench.table import Table
from tests.system.harness import LOOPBACK, Service, Stack
from tests.system.process import Process, Processes

ROUNDS = 3
ROUNDS_OF_REQUESTS = 5
WARM_SECONDS = 0.5

NOTES = (
    "our access log goes to a file; uvicorn's own is off (--no-access-log); nginx and HAProxy write none",
    "plain uvicorn writes our access log only with a --log-config that has a handler for it; the row without has none",
    "an echo is a message there and back; client and services are Python and share the cores with all of them",
)

Proxy = Callable[[Processes, Path, int], tuple[Process, int] | None]
PROXIES: dict[str, Proxy] = {"nginx": proxy.nginx, "haproxy": proxy.haproxy}


def way_through(
    folder: Path, services: list[Service], start: Callable[[Path, Service], tuple[int, list[Process]]]
) -> Way:
    """Through one instance for each service; `start` gives its port, and its server with its client, if it has one."""
    names, pids = [], []
    for service in services:
        own = folder / service.name
        own.mkdir(parents=True)
        port, processes = start(own, service)
        names.append(Name((LOOPBACK, port), service.host))
        pids.append([process.popen.pid for process in processes])
    return Way(names[0], names[1], tuple(each[0] for each in pids), tuple(each[1] for each in pids if len(each) > 1))


def through_proxy(stack: Stack, name: str, services: list[Service]) -> Way:
    """Raises LeftOutError."""

    def start(folder: Path, service: Service) -> tuple[int, list[Process]]:
        started = PROXIES[name](stack.processes, folder, service.port)
        if started is None:
            raise tunnels.LeftOutError(f"not installed (on Debian: apt install {name})")
        return started[1], [started[0]]

    return way_through(stack.folder / name, services, start)


def through_tunnel(stack: Stack, name: str, services: list[Service]) -> Way:
    """Raises LeftOutError."""

    def start(folder: Path, service: Service) -> tuple[int, list[Process]]:
        tunnel = tunnels.wait_carried(tunnels.ALL[name](stack.processes, folder, service), service)
        return tunnel.port, [tunnel.server, tunnel.client]

    return way_through(stack.folder / name, services, start)


def through_gateway(stack: Stack, services: list[Service], door: str) -> Way:
    ours = gateways.start(stack, services, door)
    names = [Name(ours.address(service.name), service.host) for service in services]
    return Way(names[0], names[1], (ours.gateway.popen.pid,), (ours.agent.popen.pid,))


def contenders(stack: Stack, services: list[Service], asked: Collection[str]) -> tuple[dict[str, Way], list[str]]:
    """Those of `asked` that can be had here, and a line for each other."""
    ways, left_out = dict[str, Way](), []
    for names, through in ((PROXIES, through_proxy), (tunnels.ALL, through_tunnel)):
        for name in names:
            if name not in asked:
                continue
            try:
                ways[name] = through(stack, name, services)
            except (tunnels.LeftOutError, AssertionError) as reason:
                first_line, _, _ = str(reason).partition("\n")
                left_out.append(f"{name} was left out: {first_line}")
    doors = [door for door in gateways.ALL if door in asked]
    return ways | {door: through_gateway(stack, services, door) for door in doors}, left_out


def one_round(ways: dict[str, Way], figure: Figure, seconds: float) -> Round:
    return {name: uvloop.run(figure.run(way, seconds)) for name, way in ways.items()}


@dataclass(frozen=True)
class Plan:
    """What is compared, and how often."""

    contenders: Collection[str]
    figures: Collection[str]
    rounds: int
    rounds_of_requests: int
    seconds: float | None = None
    """Of each; None: what the figure asks for."""


ALL = Plan([*PROXIES, *tunnels.ALL, *gateways.ALL], list(FIGURES), ROUNDS, ROUNDS_OF_REQUESTS)
QUICK = Plan(
    ["nginx", "chisel", gateways.APP],
    ["keep-alive", "one connection", "handshake", "echo 64", "echo 16384", "paced", "download", "upload"],
    ROUNDS,
    ROUNDS,
    1.0,
)


def run(stack: Stack) -> list[Table]:
    return compare(stack, ALL)


def quick(stack: Stack) -> list[Table]:
    return compare(stack, QUICK)


def compare(stack: Stack, plan: Plan) -> list[Table]:
    services = [
        stack.add_program("plain", "tests.services.plain"),
        stack.add_program("bench-ws", "tests.bench.ws_service"),
    ]
    ways, left_out = contenders(stack, services, plan.contenders)
    measured = {}
    for key in plan.figures:
        figure = FIGURES[key]
        held = key == comparison.REQUESTS  # to limits: more rounds, and uvicorn both with and without our log
        asked = {name: way for name, way in ways.items() if held or name != gateways.UVICORN_SILENT}
        one_round(asked, figure, WARM_SECONDS)
        count = plan.rounds_of_requests if held else plan.rounds
        seconds = figure.seconds if plan.seconds is None else plan.seconds
        measured[key] = [one_round(asked, figure, seconds) for _ in range(count)]
    derive = "chisel" not in ways and "nginx" in ways
    notes = "\n".join((*NOTES, *left_out))
    return [
        comparison.requests(measured[comparison.REQUESTS], derive=derive, note=notes),
        comparison.door(measured),
        comparison.others(measured, derive=derive),
    ]

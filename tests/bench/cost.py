"""CPU of one small request on keep-alive connections: at the gateway, at the agent, and at plain proxies beside them.

`python -m tests.bench cost`. Checks, limits and metrics are on as by default. So is the access log of `python -m app`;
plain uvicorn has no handler for ours, so there no access line is written, and its own is off. The plain proxies have no
tunnel and write no log. Each round asks every contender once, one after the other; ratios are those of one round, and
their median counts. CPU is that of the whole process, from /proc.
"""

import asyncio
import os
import sys
from pathlib import Path
from statistics import median

from tests.bench import proxy
from tests.bench.load import small_requests
from tests.bench.table import Table
from tests.system.harness import LOOPBACK, Service, Stack
from tests.system.process import Process

CONNECTIONS = 50
SECONDS = 3.0
"""Of one contender in one round: CPU is counted in hundredths of a second."""
ROUNDS = 5

MUST = {"gateway, python -m app": 4.5, "gateway, uvicorn app.main:app": 4.5, "agent": 0.95}
"""CPU as a multiple of nginx's in the same round."""


def cpu_seconds(process: Process) -> float:
    """User and system time of a process since its start."""
    after_name = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def under_uvicorn(first: Stack, service: Service) -> Stack:
    """Another gateway, under plain uvicorn, with an agent of its own, for the same service."""
    folder = first.folder / "uvicorn"
    folder.mkdir()
    stack = Stack(folder, first.processes, dict(first.settings))
    stack.settings.pop("admin_bind", None)  # only `python -m app` has a listener of its own for it
    stack.add(Service(service.name, service.port))
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--host", LOOPBACK, "--port", str(stack.port)]
    config = {"GATEWAY_CONFIG": str(stack.write_config())}
    stack._gateway = first.processes.start("uvicorn", [*command, "--no-access-log"], config)
    stack.gateway.wait_line("Uvicorn running on")
    stack.start_agent("a2")
    return stack


Contender = tuple[tuple[str, int], dict[str, Process]]
"""Where to ask, and whose CPU that costs."""


def one_round(contenders: dict[str, Contender], service: Service) -> dict[str, tuple[float, float]]:
    """Of each process: microseconds of CPU for a request, and requests per second."""
    found = {}
    for address, processes in contenders.values():
        before = {name: cpu_seconds(process) for name, process in processes.items()}
        seconds, rate = asyncio.run(
            small_requests(address, service.host, "/small?n=1", connections=CONNECTIONS, seconds=SECONDS)
        )
        for name, process in processes.items():
            found[name] = (1e6 * (cpu_seconds(process) - before[name]) / len(seconds), rate)
    return found


def summary(rounds: list[dict[str, tuple[float, float]]], base: str) -> list[list[str]]:
    """A row for each process: medians over the rounds, and the median of the ratios within each."""
    rows = []
    for name in rounds[0]:
        cells = [name, f"{median(found[name][0] for found in rounds):.0f}"]
        for at in (0, 1):
            ratios = [found[name][at] / found[base][at] for found in rounds if base in found and found[base][at]]
            cells.append(f"{median(ratios):.2f}" if ratios else "-")
        must = MUST.get(name)
        rows.append([cells[0], cells[1], cells[2], f"{must:g}" if must else "", cells[3]])
    return rows


def run(stack: Stack) -> list[Table]:
    stack.settings["log_level"] = "info"
    service = stack.add_program("plain", "tests.services.plain")
    stack.start()
    contenders: dict[str, Contender] = {}
    missing = []
    for name, start in (("nginx", proxy.nginx), ("haproxy", proxy.haproxy)):
        beside = start(stack.processes, stack.folder, service.port)
        if beside is None:
            missing.append(f"{name} is not installed here, and was left out")
        else:
            contenders[name] = ((LOOPBACK, beside[1]), {name: beside[0]})
    contenders["app"] = (stack.address("plain"), {"gateway, python -m app": stack.gateway, "agent": stack.agent})
    other = under_uvicorn(stack, service)
    contenders["uvicorn"] = (
        other.address("plain"), {"gateway, uvicorn app.main:app": other.gateway, "its agent": other.agent},
    )  # fmt: skip
    one_round(contenders, service)  # so that all are warm
    rounds = [one_round(contenders, service) for _ in range(ROUNDS)]
    title = f"CPU of a small GET over {CONNECTIONS} connections, medians of {ROUNDS} rounds (Python load generator)"
    head = ["", "CPU, us", "x nginx", "must", "requests/s, x nginx"]
    return [Table(title, head, summary(rounds, "nginx"), "\n".join(missing))]

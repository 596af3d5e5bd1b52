"""Runs the benchmarks named on the command line, or all; every process that one starts ends with it, whatever happens.

Each has processes of its own, so that none measures what another left behind.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.bench import (
    beside,
    core,
    growth,
    idle,
    instructions,
    isolation,
    opcodes,
    paths,
    peers,
    plot,
    quiet,
    requirement,
    stalls,
)
from tests.bench.nodes import capacity, hop, leader, listing, memory, restarts, storm, traffic, websockets
from tests.bench.table import Table
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Processes


def through_stack(run: Callable[[Stack], list[Table]]) -> Callable[[], list[Table]]:
    """With a stack of its own, not yet started."""

    def measure() -> list[Table]:
        processes = Processes()
        with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as folder:
            try:
                settings = {"log_level": "warning", "admin_bind": f"{LOOPBACK}:{free_port()}"}
                return run(Stack(Path(folder), processes, dict(settings)))
            finally:
                processes.close()

    return measure


NODES: dict[str, Callable[[], list[Table]]] = {
    "nodes-hop": through_stack(hop.run),
    "nodes-websockets": through_stack(websockets.run),
    "nodes-memory": memory.run,
    "nodes-listing": through_stack(listing.run),
    "nodes-traffic": through_stack(traffic.run),
    "nodes-leader": through_stack(leader.run),
    "nodes-storm": through_stack(storm.run),
    "nodes-restarts": through_stack(restarts.run),
}
"""What several nodes cost."""


def nodes() -> list[Table]:
    """All of these."""
    return [table for measure in NODES.values() for table in measure()]


ALL: dict[str, Callable[[], list[Table]]] = {
    "core": core.run,
    "instructions": instructions.run,
    "opcodes": opcodes.run,
    "stalls": stalls.run,
    "requirement": through_stack(requirement.run),
    "isolation": through_stack(isolation.run),
    "beside": through_stack(beside.run),
    "peers": through_stack(peers.run),
    "growth": through_stack(growth.run),
    "paths": through_stack(paths.run),
    "idle": through_stack(idle.run),
    "quiet": through_stack(quiet.run),
    "nodes": nodes,
}
SHOWN = {"plot": plot.draw, "markdown": plot.markdown}
"""What can be made of a run that is over."""
PARTS = {"quick": through_stack(peers.quick), **NODES, "nodes-capacity": capacity.run}
"""What is in `ALL` already, in short or by itself."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="What the tunnel costs.")
    names = f"of {', '.join([*ALL, *PARTS])}; without one all but {', '.join(PARTS)}. Or plot FILE, or markdown FILE"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there as well")
    options = parser.parse_args(arguments)
    if options.names and (show := SHOWN.get(options.names[0])) is not None:
        try:
            (file,) = options.names[1:]
            print(show(plot.read(Path(file).read_text())), end="")
        except (OSError, ValueError) as error:
            parser.error(f"{options.names[0]} FILE, which `--json FILE` has written: {error}")
        return 0
    if unknown := set(options.names) - set(ALL) - set(PARTS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join([*ALL, *PARTS])}")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is started with it ignored
        signal.signal(number, signal.default_int_handler)
    results = {}
    try:
        for name in options.names or ALL:
            tables = (ALL | PARTS)[name]()
            for table in tables:
                table.show()
            results[name] = [asdict(table) for table in tables]
    except KeyboardInterrupt:
        print("interrupted: every process was ended", file=sys.stderr)
        return 130
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

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

from tests.bench import core, idle, instructions, isolation, peers, requirement, stalls
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


ALL: dict[str, Callable[[], list[Table]]] = {
    "core": core.run,
    "instructions": instructions.run,
    "stalls": stalls.run,
    "requirement": through_stack(requirement.run),
    "isolation": through_stack(isolation.run),
    "peers": through_stack(peers.run),
    "idle": through_stack(idle.run),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="What the tunnel costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; all without one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there as well")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(ALL):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is started with it ignored
        signal.signal(number, signal.default_int_handler)
    results = {}
    try:
        for name in options.names or ALL:
            tables = ALL[name]()
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

"""Runs the benchmarks named on the command line, or all."""

import sys
import tempfile
from pathlib import Path

from tests.bench import cost, isolation
from tests.system.harness import Stack
from tests.system.process import Processes

ALL = ("isolation", "cost")


def main(names: list[str]) -> int:
    wanted = names or list(ALL)
    if unknown := set(wanted) - set(ALL):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as folder:
        try:
            stack = Stack(Path(folder), processes, {"log_level": "warning"})
            stack.add_program("plain", "tests.services.plain")
            stack.start_gateway()
            stack.start_agent()
            if "isolation" in wanted:
                isolation.run(stack)
            if "cost" in wanted:
                cost.run(stack, processes)
        finally:
            processes.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

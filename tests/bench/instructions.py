"""Instructions of one request, at the gateway and at our agent, without sockets: they come out the same each time.

`python -m tests.bench instructions`; it needs valgrind (Debian's package will do), two cores and some two minutes.
Counted by cachegrind over the whole process of `tests/bench/offline.py` or `tests/bench/offline_agent.py`, once with
few and once with many requests; the difference, divided by the requests between, leaves the start out. Everything is
counted twice. Two counts that are a whole instruction apart end the command with status 1; a part of one is the
start's, in which prometheus_client reads /proc/stat, whose digits are never quite the same.

The same files in the same folder give the same number. Another folder, or any change of a source, moves objects in
memory, and with them collisions in sets and dictionaries: up to 0.3 % either way, so read nothing into less.
Compare with a count of another commit made with the same interpreter, the same packages and the same valgrind. To
count a commit that has no such benchmark, copy `offline.py`, `offline_agent.py`, `offline.toml`, `instructions.py` and
`__main__.py` of this folder into its `tests/bench/`.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench import offline, offline_agent
from tests.bench.offline import BODY, HOST, WARM_UP
from tests.bench.table import Table

ROWS = {**dict.fromkeys(offline.ROWS, offline), **dict.fromkeys(offline_agent.ROWS, offline_agent)}
"""And the program that carries each."""

FEW = WARM_UP
MANY = WARM_UP + 1_000

MISSING = "valgrind is not installed: nothing was counted (on Debian: apt install valgrind)"

_ROOT = Path(__file__).resolve().parents[2]
_VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", "--vgdb=no")
ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
"""All that the child gets: neither its size nor a GATEWAY_ variable may differ from one run to the next."""
_COUNTED = re.compile(r"I +refs: +([0-9,]+)")


def carry(row: str, count: int, *, under: tuple[str, ...] = ()) -> str:
    """Run the offline program; its standard error. Raises AssertionError unless `count` requests were carried."""
    command = [*under, sys.executable, "-s", "-m", ROWS[row].__name__, row, str(count)]
    done = subprocess.run(command, cwd=_ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    if row not in offline.ROWS:
        return done.stderr  # the agent writes no line for a request
    line = rf"gateway\.access +GET {re.escape(HOST)}/\S* 200 in 0 ms, 0 bytes up, {len(BODY)} down"
    if (lines := len(re.findall(line, done.stderr))) != count:
        raise AssertionError(f"{lines} access lines of {count}:\n{done.stderr[-2000:]}")
    return done.stderr


def instructions(row: str, count: int) -> int:
    """Of the whole process."""
    told = carry(row, count, under=(shutil.which(_VALGRIND[0]) or _VALGRIND[0], *_VALGRIND[1:]))
    found = _COUNTED.search(told)
    if found is None:
        raise AssertionError(f"valgrind told no count:\n{told[-2000:]}")
    return int(found[1].replace(",", ""))


def run() -> list[Table]:
    title = f"Instructions of one request, between fake transports (Python {sys.version.split()[0]})"
    head = ["", "instructions", "counted again"]
    if shutil.which(_VALGRIND[0]) is None:
        return [Table(title, head, [], MISSING)]
    for row in ROWS:
        carry(row, 1)  # writes the bytecode: compiling counts as well
    wanted = [(row, count) for row in ROWS for _ in range(2) for count in (MANY, FEW)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        totals = list(threads.map(lambda item: instructions(*item), wanted))
    rows = []
    differ = []
    for number, row in enumerate(ROWS):
        first, second = (totals[at : at + 2] for at in (4 * number, 4 * number + 2))
        each = [(many - few) / (MANY - FEW) for many, few in (first, second)]
        rows.append([row, *(f"{value:,.0f}" for value in each)])
        if abs(each[0] - each[1]) >= 1:
            differ.append(row)
    table = Table(title, head, rows, f"the whole process with {MANY} requests and with {FEW}: a request between them")
    if differ:
        table.show()
        raise SystemExit(f"counted twice, and not the same: {', '.join(differ)}")
    return [table]

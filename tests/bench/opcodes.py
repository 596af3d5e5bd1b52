"""Where the work of a request is done: `python -m tests.bench opcodes`. Bytecodes and Python calls by room of the code.

The programs of `instructions` run with a tracer that counts each bytecode of each function, once with few and once with
many requests; the difference, divided by the requests between, is one request. Instructions say what a change costs,
and this says where to look: all that the interpreter itself does stands behind these bytecodes, and C code (the
encoder of JSON, the parser's patterns, joins) behind the calls. Counts are the same each time; no time is measured.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.bench.instructions import ENVIRONMENT, ROWS
from tests.bench.offline import WARM_UP
from tests.bench.table import Table

ROOT = Path(__file__).resolve().parents[2]
FEW, MANY = WARM_UP, WARM_UP + 100
COUNTED = ("small", "agent, 5 at a time")

Rooms = dict[str, tuple[float, float]]
"""Bytecodes and calls by room."""


def room_of(file: str) -> str:
    """The folder of a file of ours, such as `app/server`; else the package or the library."""
    path = Path(file)
    if path.is_relative_to(ROOT):
        inside = path.relative_to(ROOT).parts
        if inside[0] in ("app", "tunnel", "tests"):
            return "/".join(inside[:2]) if len(inside) > 2 else inside[0]
    parts = path.parts
    return parts[parts.index("site-packages") + 1] if "site-packages" in parts else "the standard library"


def traced(row: str, count: int) -> None:
    """Run an offline program in this process, and print what it did, as JSON."""
    opcodes: Counter[CodeType] = Counter()
    calls: Counter[CodeType] = Counter()

    def on_opcode(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            opcodes[frame.f_code] += 1
        return on_opcode

    def on_call(frame: FrameType, _: str, __: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        calls[frame.f_code] += 1
        return on_opcode

    sys.settrace(on_call)
    try:
        ROWS[row].main(row, count)
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.settrace(None)
    rooms: dict[str, list[int]] = {}
    for code, number in calls.items():
        each = rooms.setdefault(room_of(code.co_filename), [0, 0])
        each[0] += opcodes[code]
        each[1] += number
    print(json.dumps(rooms))


def counted(row: str, count: int) -> Rooms:
    command = [sys.executable, "-s", "-m", "tests.bench.opcodes", row, str(count)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: Rooms = json.loads(done.stdout.splitlines()[-1])
    return found


def of_a_request(row: str) -> Rooms:
    few, many = counted(row, FEW), counted(row, MANY)
    each = {}
    for room, (opcodes, calls) in many.items():
        before = few.get(room, (0, 0))
        each[room] = (opcodes - before[0]) / (MANY - FEW), (calls - before[1]) / (MANY - FEW)
    return {room: numbers for room, numbers in each.items() if numbers[0] >= 1 and not room.startswith("tests")}


def run() -> list[Table]:
    tables = []
    for row in COUNTED:
        rooms = sorted(of_a_request(row).items(), key=lambda item: -item[1][0])
        total = sum(opcodes for _, (opcodes, _) in rooms)
        rows = [
            [room, f"{opcodes:.0f}", f"{100 * opcodes / total:.0f} %", f"{calls:.1f}"]
            for room, (opcodes, calls) in rooms
        ]
        rows.append(["together", f"{total:.0f}", "100 %", f"{sum(calls for _, (_, calls) in rooms):.1f}"])
        where = "at the gateway" if row == COUNTED[0] else "at the agent, five at a time"
        title = f"Bytecodes of a small GET {where} (Python {sys.version.split()[0]})"
        tables.append(Table(title, ["room", "bytecodes", "", "calls"], rows))
    return tables


if __name__ == "__main__":
    traced(sys.argv[1], int(sys.argv[2]))

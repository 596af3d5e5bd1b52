"""Closed standard streams, in processes of their own."""

import subprocess
import sys

import pytest

from tests.system.process import ROOT

LOOK = """
import os, subprocess, sys
from tunnel import standard_streams
standard_streams.open_closed()
said = [os.path.samestat(os.fstat(number), os.stat(os.devnull)) for number in range(3)]
child = subprocess.run([sys.executable, "-c", "import os; [os.fstat(number) for number in range(3)]"])
os.write(3, repr((said, os.open(os.devnull, os.O_RDONLY), child.returncode)).encode())
"""


@pytest.mark.system
@pytest.mark.parametrize(
    ("closed", "opened"), [("", [False] * 3), (">&-", [False, True, False]), ("<&- >&- 2>&-", [True] * 3)]
)
def test_a_closed_one_leads_nowhere_for_children_too_and_no_number_is_left(closed: str, opened: list[bool]):
    shell = f'exec 3>&1 0</dev/zero; exec "$@" {closed}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", LOOK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == repr((opened, 4, 0))
    assert done.stderr == ""

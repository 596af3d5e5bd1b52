"""The offline programs carry what they are counted for: without this a row could count nothing, and nobody saw it."""

import subprocess
import sys

import pytest

from tests.bench import instructions
from tests.bench.instructions import ROWS
from tests.bench.offline import WARM_UP, browser, small
from tests.system.process import ROOT


def test_the_requests_are_what_their_rows_say():
    assert len(small(1)) == 87
    head = browser(1)
    assert head.count(b"\r\n") - 2 == 16
    assert 2_150 < len(head) < 2_250
    cookie = head.partition(b"Cookie: ")[2].partition(b"\r\n")[0]
    assert 1_450 < len(cookie) < 1_550
    assert len(browser(2)) == len(head)
    assert browser(2) != head


@pytest.mark.parametrize("count", [3, WARM_UP + 3])
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.system
def test_every_answer_is_whole_and_has_its_line(row: str, count: int):
    instructions.carry(row, count)


@pytest.mark.system
def test_a_wrong_answer_is_no_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(instructions, "HOST", "other.example.test")
    with pytest.raises(AssertionError, match="0 access lines of 3"):
        instructions.carry("small", 3)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            "offline_agent.Service.write = lambda self, data: self._loop.call_soon(self.protocol.data_received, b'x')",
            "stuck",
        ),
        ("offline_agent.Gateway._left = property(lambda self: 0, lambda self, left: None)", "0 right answers of 3"),
    ],
)
@pytest.mark.system
def test_a_wrong_answer_through_the_agent_is_no_count(wrong: str, why: str):
    code = f"from tests.bench import offline_agent; {wrong}; offline_agent.main('agent, 5 at a time', 3)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert why in done.stderr

"""CPU time of a process, as the kernel counts it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.bench.cpu import Meter, cpu_seconds

BURNT_SECONDS = 0.1


def burn(clock: Callable[[], float]) -> None:
    until = clock() + BURNT_SECONDS
    while clock() < until:
        sum(range(1_000))


def test_it_is_that_of_the_process():
    first, before = time.process_time(), cpu_seconds(os.getpid())
    second = time.process_time()
    burn(time.process_time)
    third, after = time.process_time(), cpu_seconds(os.getpid())
    fourth = time.process_time()
    assert third - second <= after - before <= fourth - first


def test_every_thread_counts_and_still_does_when_it_has_ended():
    thread = threading.Thread(target=burn, args=(time.thread_time,))
    before = cpu_seconds(os.getpid())
    thread.start()
    thread.join()
    assert cpu_seconds(os.getpid()) - before >= BURNT_SECONDS


def test_another_process_has_its_own():
    program = (
        "import sys, time; [None for _ in range(1_000_000)]; print(time.process_time(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        least = float(other.stdout.readline())
        assert cpu_seconds(other.pid) >= least
        other.communicate()
    with pytest.raises(OSError, match="Invalid argument"):
        cpu_seconds(other.pid)


def test_a_meter_keeps_its_groups_apart():
    with Meter([os.getpid()], []) as meter:
        burn(time.process_time)
    assert meter.front_seconds >= BURNT_SECONDS
    assert meter.back_seconds == 0.0
    assert meter.seconds > 0

"""CPU time as /proc tells it."""

import os
import threading
import time
from collections.abc import Callable

from tests.bench.cpu import Meter, cpu_seconds

BURNT_SECONDS = 0.1
STALE_SECONDS = 0.02
"""The kernel brings a running thread's figure up to date with each of its ticks only."""


def burn(clock: Callable[[], float]) -> None:
    until = clock() + BURNT_SECONDS
    while clock() < until:
        sum(range(1_000))


def test_it_is_that_of_the_process():
    used, before = time.process_time(), cpu_seconds(os.getpid())
    burn(time.process_time)
    after, used = cpu_seconds(os.getpid()), time.process_time() - used
    assert BURNT_SECONDS - STALE_SECONDS <= after - before <= used + STALE_SECONDS


def test_every_thread_counts():
    burnt, over = threading.Event(), threading.Event()

    def work() -> None:
        burn(time.thread_time)
        burnt.set()
        over.wait()

    thread = threading.Thread(target=work)
    own, before = time.thread_time(), cpu_seconds(os.getpid())
    thread.start()
    burnt.wait()
    after, own = cpu_seconds(os.getpid()), time.thread_time() - own
    over.set()
    thread.join()
    assert after - before - own >= BURNT_SECONDS - STALE_SECONDS


def test_a_meter_keeps_its_groups_apart():
    with Meter([os.getpid()], []) as meter:
        burn(time.process_time)
    assert meter.front_seconds >= BURNT_SECONDS - STALE_SECONDS
    assert meter.back_seconds == 0.0
    assert meter.seconds > 0

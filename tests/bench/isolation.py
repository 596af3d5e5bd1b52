"""Small requests beside a stuck exchange on the same link: their latency, as a ratio to the same without it.

A stall is measured once it stands still: nothing moves any more on any of its streams. While 200 streams still fill
their windows and buffers the link works at full load, and that is a case of its own.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from urllib.request import urlopen

from tests.bench.load import small_requests
from tests.bench.table import Latency, Table, latency
from tests.system.clients import RawClient
from tests.system.harness import Stack
from tests.system.neighbours import begin_upload, send_until_stuck, stop_reading
from tests.system.process import wait_until
from tests.system.test_isolation import wait_stalled

CONNECTIONS = 10
EACH = 200
EACH_WHILE_FILLING = 20
HALF = 100
ROUNDS = 3
STILL_SECONDS = 1.5
FILL_SECONDS = 30
MOVING = ("gateway_request_bytes_total", "gateway_held_bytes ")
"""What changes at the gateway while a stall still fills."""
RATIO_AIM = 1.5
WORST_AIM_MS = 250


def requests(stack: Stack, each: int) -> list[float]:
    service = stack.services["plain"]
    seconds, _ = asyncio.run(
        small_requests(stack.address("plain"), service.host, "/small?n=1", connections=CONNECTIONS, each=each)
    )
    return seconds


def moved(stack: Stack) -> list[str]:
    """What the gateway passed on, and holds: the same twice means that nothing moves, on the link either."""
    with urlopen(f"http://{stack.settings['admin_bind']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith(MOVING)]


def wait_still(stack: Stack) -> None:
    """Until nothing moves: a client that can send no more may only be waiting for a slow link."""
    last: list[str] = []
    since = time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = moved(stack)
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > STILL_SECONDS

    wait_until(still, FILL_SECONDS, "nothing moves any more")


def measure(stack: Stack) -> Latency:
    return latency(requests(stack, EACH))


@contextmanager
def running_download(stack: Stack) -> Iterator[None]:
    """A client that reads a download as fast as it comes, again and again."""
    over = threading.Event()

    def download() -> None:
        while not over.is_set():
            with RawClient(stack.address("plain")) as client:
                client.request("GET /download?size=2000000000&id=runs HTTP/1.1", "plain")
                client.answer_head()
                while not over.is_set() and client.socket.recv(1024 * 1024):
                    pass

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def filling(fill: Callable[[], None]) -> Iterator[threading.Event]:
    """Run `fill` on a thread; the event is set when it is through."""
    through = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            fill()
        except Exception as error:  # noqa: BLE001  (raised again below)
            errors.append(error)
        finally:
            through.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield through
    thread.join()
    if errors:
        raise errors[0]


class Rows:
    """Each case with its rounds, every one beside the same requests alone, a moment before and a moment after."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._alone = measure(stack)
        self._waiting: list[tuple[str, Latency]] = []
        self._rounds: dict[str, list[tuple[float, Latency]]] = {}

    def add(self, name: str, beside: Latency) -> None:
        self._waiting.append((name, beside))

    def released(self) -> None:
        """The stall is over: what was measured beside it is compared."""
        before, self._alone = self._alone, measure(self._stack)
        alone = (before.median + self._alone.median) / 2
        for name, beside in self._waiting:
            self._rounds.setdefault(name, []).append((alone, beside))
        self._waiting.clear()

    def rows(self) -> list[list[str]]:
        rows = []
        for name, rounds in self._rounds.items():
            ratio = median(beside.median / alone for alone, beside in rounds)
            worst = max(beside.worst for _, beside in rounds)
            met = "met" if ratio <= RATIO_AIM and worst < WORST_AIM_MS else "NOT MET"
            rows.append([
                name,
                f"{median(alone for alone, _ in rounds):.2f}",
                f"{median(beside.median for _, beside in rounds):.2f}",
                f"{ratio:.2f}",
                f"{median(beside.p99 for _, beside in rounds):.1f}",
                f"{worst:.1f}",
                "" if name.startswith("extra") else met,
            ])  # fmt: skip
        return rows


def stopped_client(stack: Stack, rows: Rows, number: int) -> None:
    key = f"stalled-{number}"
    with stop_reading(stack, key):
        wait_stalled(stack, [key])
        wait_still(stack)
        rows.add("a client that stopped reading 500 MB", measure(stack))
    rows.released()


def hole(stack: Stack, rows: Rows, number: int) -> None:
    with begin_upload(stack, f"hole-{number}") as client:
        send_until_stuck([client])
        wait_still(stack)
        rows.add("a service that never reads 500 MB", measure(stack))
    rows.released()


def many_stalled(stack: Stack, rows: Rows, number: int) -> None:
    keys = [f"many-{number}-{each}" for each in range(HALF)]
    with ExitStack() as clients:

        def fill() -> None:
            for key in keys:
                clients.enter_context(stop_reading(stack, key))
            send_until_stuck([clients.enter_context(begin_upload(stack, key)) for key in keys])
            wait_stalled(stack, keys)

        seconds: list[float] = []
        with filling(fill) as through:
            while not through.is_set() or not seconds:
                seconds += requests(stack, EACH_WHILE_FILLING)
        wait_still(stack)
        rows.add("extra: 200 streams while they fill", latency(seconds))
        rows.add("200 stalled streams", measure(stack))
    rows.released()


def download(stack: Stack, rows: Rows, _: int) -> None:
    with running_download(stack):
        rows.add("a running download", measure(stack))
    rows.released()


def run(stack: Stack) -> list[Table]:
    stack.add_program("plain", "tests.services.plain")
    stack.start()
    measure(stack)  # warm
    rows = Rows(stack)
    for number in range(ROUNDS):
        for case in (stopped_client, hole, many_stalled, download):
            case(stack, rows, number)
    return [
        Table(
            f"{CONNECTIONS * EACH} small requests over {CONNECTIONS} connections (median of {ROUNDS} rounds), beside",
            ["", "median alone, ms", "median, ms", "ratio", "p99, ms", "worst of all, ms", ""],
            rows.rows(),
            f"aims: ratio at most {RATIO_AIM} and worst under {WORST_AIM_MS} ms beside each stall",
        )
    ]

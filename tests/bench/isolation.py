"""Small requests beside a stuck exchange on the same link: their latency, as a ratio to the same without it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.load import small_requests
from tests.bench.table import Latency, latency, show
from tests.system.clients import RawClient
from tests.system.harness import Stack
from tests.system.neighbours import begin_upload, send_until_stuck, stop_reading

CONNECTIONS = 10
EACH = 200


def measure(stack: Stack) -> Latency:
    service = stack.services["plain"]
    seconds, _ = asyncio.run(
        small_requests(stack.address("plain"), service.host, "/small?n=1", connections=CONNECTIONS, each=EACH)
    )
    return latency(seconds)


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


def run(stack: Stack) -> None:
    measure(stack)  # warm
    rows = []

    def compare(name: str) -> None:
        beside = measure(stack)
        baseline = baselines.pop()
        rows.append([
            name, f"{baseline.median:.2f}", f"{beside.median:.2f}", f"{beside.median / baseline.median:.2f}",
            f"{beside.p99:.1f}", f"{beside.worst:.1f}",
        ])  # fmt: skip

    baselines = [measure(stack)]
    with ExitStack() as clients:
        clients.enter_context(stop_reading(stack, "bench-stalled"))
        compare("a client that stopped reading 500 MB")
    baselines.append(measure(stack))
    with ExitStack() as clients:
        send_until_stuck([clients.enter_context(begin_upload(stack, "bench-hole"))])
        compare("a service that never reads 500 MB")
    baselines.append(measure(stack))
    with ExitStack() as clients:
        for number in range(100):
            clients.enter_context(stop_reading(stack, f"bench-{number}"))
        send_until_stuck([clients.enter_context(begin_upload(stack, f"bench-{number}")) for number in range(100)])
        compare("200 stalled streams")
    baselines.append(measure(stack))
    with running_download(stack):
        compare("a running download")
    show(
        f"{CONNECTIONS * EACH} small requests over {CONNECTIONS} connections, beside ...",
        ["", "median alone, ms", "median, ms", "ratio", "p99, ms", "worst, ms"],
        rows,
        "aims: ratio at most 1.5 and worst under 250 ms beside each stall",
    )

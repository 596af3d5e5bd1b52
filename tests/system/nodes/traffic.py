"""Requests to several nodes at a steady pace, each checked and in the books of `tests/chaos/ledger.py`.

Each has an id of its own and a connection of its own, and nobody tries it again. Every fourth is a POST. What the books
hold at the end: no answer of another cluster, no POST twice, nobody left without a word, no failure without a trouble.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from tests.chaos.entries import Request, Trouble
from tests.chaos.ledger import Ledger
from tests.chaos.load import SMALL_BODY, is_json
from tests.system.harness import LOOPBACK
from tests.system.nodes.nodes import CLUSTERS, Nodes, host_of

AT_ONCE = 500
"""Requests under way: a slow machine makes the load slower."""
EACH_POST = 4
LONGEST_SECONDS = 30.0
"""A client that waits longer was left hanging."""
POSTED = hashlib.sha256(SMALL_BODY).hexdigest()


class Books:
    """The ledger of one test, and who brings it to an end."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.ledger = Ledger()

    @contextmanager
    def trouble(self, kind: str) -> Iterator[Trouble]:
        """What fails from now on, and shortly after the end, has its reason."""
        trouble = Trouble(kind, time.monotonic(), float("inf"))
        self.ledger.troubles.append(trouble)
        try:
            yield trouble
        finally:
            trouble.ended = time.monotonic()

    @asynccontextmanager
    async def traffic(
        self, per_second: float, at: Iterable[str] = (), *, clusters: Iterable[str] = CLUSTERS,
        ports: Mapping[str, int] | None = None,
    ) -> AsyncIterator["Traffic"]:  # fmt: skip
        """Runs meanwhile, at these nodes or at all. Ends when every request has its outcome. `ports`: other ways in."""
        ports = ports or {each: node.port for each, node in self.nodes.nodes.items()}
        traffic = Traffic(self.ledger, ports, per_second, at or ports, clusters)
        running = asyncio.ensure_future(traffic.run())
        try:
            yield traffic
        finally:
            traffic.over.set()
            await running

    @property
    def failed(self) -> list[Request]:
        return [one for one in self.ledger.requests.values() if not one.is_good]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(one.outcome for one in self.ledger.requests.values())

    def back_after(self, trouble: Trouble, *, at: Iterable[str] = (), clusters: Iterable[str] = CLUSTERS) -> float:
        """How long after its beginning a request could still fail, by when that was sent; 0: none failed."""
        chosen, nodes = set(clusters), set(at)
        began = [one.began for one in self.failed if one.cluster in chosen and (not nodes or one.node in nodes)]
        return max((moment - trouble.began for moment in began if moment >= trouble.began), default=0.0)

    def close(self, *, apart: str = "") -> None:
        """Compare both sides, and look whether a process has a fault of its own.

        `apart`: how the ids of exchanges begin that the books do not have.
        """
        for key, cluster in self.nodes.arrivals():
            if not apart or not key.startswith(apart):
                self.ledger.arrived(key, cluster)
        print(f"outcomes: {dict(self.outcomes)}")  # with -rA
        assert self.ledger.violations() == []
        assert self.nodes.tracebacks() == []


class Traffic:
    """See the module. `at` may change while it runs."""

    def __init__(
        self, ledger: Ledger, ports: Mapping[str, int], per_second: float, at: Iterable[str], clusters: Iterable[str],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._ports = ports
        self._per_second = per_second
        self._clusters = tuple(clusters)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self.at = tuple(at)
        self.over = asyncio.Event()
        self.begun = 0
        self.ended = 0

    async def run(self) -> None:
        """Until `over`, and then until every request has its outcome."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.TaskGroup() as group:
            while not self.over.is_set():
                await asyncio.sleep(started + self.begun / self._per_second - loop.time())  # the pace of the load
                await self._room.acquire()
                group.create_task(self._one(self.begun))
                self.begun += 1

    async def more(self, count: int) -> None:
        """Until so many more have been sent and have their outcome: the load has met what happened before."""
        least = self.begun + count
        while self.ended < least:
            self._changed.clear()
            await self._changed.wait()

    async def _one(self, number: int) -> None:
        node = self.at[number % len(self.at)]
        cluster = self._clusters[number // len(self.at) % len(self._clusters)]
        post = number % EACH_POST == 0
        request = Request(f"{cluster}-{number}", cluster, time.monotonic(), not post, node=node)
        self._ledger.begin(request)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await ask(self._ports[node], request, post=post)
        except TimeoutError:
            request.is_hung, request.is_whole = True, False
        except (OSError, EOFError) as error:
            request.error, request.is_whole = type(error).__name__, False
        request.ended = time.monotonic()
        self.ended += 1
        self._changed.set()
        self._room.release()


async def ask(port: int, request: Request, *, post: bool) -> None:
    """Send it and note the answer. Raises OSError; EOFError if it ends within the head."""
    head = f"{'POST /post' if post else 'GET /get'}?id={request.key} HTTP/1.1\r\nHost: {host_of(request.cluster)}\r\n"
    if post:
        head += f"Content-Length: {len(SMALL_BODY)}\r\n"
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + (SMALL_BODY if post else b""))
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        request.status = int(lines[0].split(" ")[1])
        request.answered_by = fields.get("x-cluster", "")
        request.node = fields.get("x-node", request.node)
        request.told_to_retry = "retry-after" in fields
        body = await reader.read()
        request.is_whole = len(body) == int(fields["content-length"])
        request.has_page = bool(body)
        due = {"id": request.key, **({"sha256": POSTED} if post else {})}
        request.is_right = request.status != 200 or is_json(body, due)
    finally:
        writer.close()

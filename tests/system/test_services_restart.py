"""Services that restart, and services that close silently: no request is lost that can be saved, none comes twice."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.clients import http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import Service, Stack, free_port
from tests.system.process import Process

pytestmark = [pytest.mark.anyio, tunnel_only]

RESTARTS = 20
AWAY_SECONDS = 0.2
RATE = 100
POSTS = 1_000

Make = Callable[..., Stack]


class Ledgered:
    """A service that tells what it carried out, even after it was killed."""

    def __init__(self, stack: Stack, folder: Path, *options: str) -> None:
        self.ledger = folder / "ledger"
        self.port = free_port()
        self._options = (*options, "--ledger", str(self.ledger), "--port", str(self.port))
        self._processes = stack.processes
        stack.add(Service("ledgered", self.port))
        self.start()

    def start(self) -> None:
        self.process: Process = self._processes.python("ledgered", "tests.services.closing", *self._options)
        self.process.wait_line("ready ")

    async def restart(self, away_seconds: float) -> None:
        """Kill it; another one, which waits already, takes its place."""
        options = (*self._options, "--on-signal")
        following = self._processes.python("ledgered", "tests.services.closing", *options)
        await asyncio.to_thread(following.wait_line, "waiting")
        self.process.kill()
        self.process = following
        await asyncio.sleep(away_seconds)
        following.signal(signal.SIGUSR1)
        await asyncio.to_thread(following.wait_line, "ready ")

    def carried_out(self) -> Counter[str]:
        return Counter(self.ledger.read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--keep",)], ids=["closes", "keeps"])
async def test_a_service_killed_and_back_after_a_moment_fails_no_request(
    own_stack: Make, tmp_path: Path, options: tuple[str, ...]
) -> None:
    stack = own_stack()
    service = Ledgered(stack, tmp_path, *options)
    stack.start()
    failed: dict[str, int] = {}
    numbers = itertools.count()
    over = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async with http_client(limit=0) as http:

        async def ask(method: str, number: int) -> None:
            body = b"x" if method == "POST" else None
            async with http.request(method, stack.url("ledgered", f"/{number}"), data=body) as answer:
                await answer.read()
                if answer.status != 200:
                    failed[f"{method} /{number}"] = answer.status

        async def ask_on() -> None:
            while not over.is_set():
                number = next(numbers)
                tasks.append(asyncio.create_task(ask("POST" if number % 2 else "GET", number)))
                await asyncio.sleep(1 / RATE)

        asking = asyncio.create_task(ask_on())
        for _ in range(RESTARTS):
            await service.restart(AWAY_SECONDS)
            await asyncio.gather(*tasks)  # all that waited are answered
        over.set()
        await asking
        await asyncio.gather(*tasks)

    carried_out = service.carried_out()
    assert len(tasks) > RESTARTS * AWAY_SECONDS * RATE
    assert [name for name in failed if name.startswith("GET ")] == []
    # Had been given to the service when it was killed: it may have been carried out, and must not be sent again.
    assert len(failed) <= RESTARTS // 4, failed
    assert set(failed.values()) <= {502}
    assert [name for name, times in carried_out.items() if name.startswith("POST ") and times > 1] == []


async def test_a_service_that_closes_silently_after_each_answer_loses_no_post(own_stack: Make, tmp_path: Path) -> None:
    stack = own_stack()
    service = Ledgered(stack, tmp_path)
    stack.start()
    async with http_client() as http:
        for number in range(POSTS):
            async with http.post(stack.url("ledgered", f"/{number}"), data=b"x") as answer:
                assert (number, answer.status) == (number, 200)
    assert service.carried_out() == Counter(f"POST /{number}" for number in range(POSTS))

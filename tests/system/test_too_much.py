"""Too much is held: those that stall are ended, one by one, and nobody else notices.

The high mark is low and the hard mark far above it, so that everything here happens between the two. While 120
exchanges stall, a thousand requests of others all succeed, and a download that moves, however slowly, goes on.
"""

import asyncio
import json
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self

import pytest

from tests.system.clients import RawClient, http_client
from tests.system.conftest import app_only, not_over, tunnel_only
from tests.system.harness import Stack
from tests.system.neighbours import (
    SMALL_BUFFER_BYTES,
    assert_undisturbed,
    begin_upload,
    flooded,
    neighbours,
    stop_reading,
)
from tests.system.process import wait_until

pytestmark = [
    pytest.mark.anyio,
    tunnel_only,
    app_only("ASGI does not say how much a client has not taken, and cannot cut it off"),
]

MIB = 1024 * 1024
LIMIT_BYTES = 8 * MIB
STALLED = 120
LEFT_SECONDS = 2.0
"""Above the mark, by the gateway's own clock, where clients stall."""
LEFT_BY_SERVICES_SECONDS = 3.0
"""Where services do: it takes a second longer to see that."""
STUCK_SECONDS = 0.05
PIECE_OF_UPLOAD_BYTES = 256 * 1024
PIECE_BYTES = 4_096
PIECES_PER_SECOND = 20


@pytest.fixture
def stack(own_stack: Callable[..., Stack]) -> Stack:
    stack = own_stack(held_bytes_limit=LIMIT_BYTES, held_bytes_hard_limit=16 * LIMIT_BYTES, log_format="json")
    for service in ("plain", "ws"):
        stack.services[service].route["idle_timeout"] = 600
    return stack.start()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class SlowReader:
    """A client of a download that takes some of it all the time, though little."""

    def __init__(self, stack: Stack) -> None:
        self._client = RawClient(stack.address("plain"), receive_buffer_bytes=SMALL_BUFFER_BYTES)
        self._client.request("GET /download?size=20000000&id=slow HTTP/1.1", "plain")
        assert self._client.answer_head().status == 200
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.pieces = 0
        self.fault: Exception | None = None

    def _read(self) -> None:
        try:
            while not self._stopped.wait(1 / PIECES_PER_SECOND):
                self._client.read_exactly(PIECE_BYTES)
                self.pieces += 1
        except (OSError, EOFError) as fault:
            self.fault = fault

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._client.socket.close()

    def goes_on(self) -> None:
        before = self.pieces
        wait_until(lambda: self.pieces > before + 3 or self.fault is not None, 10, "the slow reader gets more")
        assert self.fault is None


def lines(stack: Stack, logger: str) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in stack.gateway.output() if line.startswith("{")]
    return [line for line in parsed if line["logger"] == logger]


def ended(stack: Stack) -> list[dict[str, Any]]:
    return [line for line in lines(stack, "gateway.access") if line.get("limit") == "held_stalled"]


def refused(stack: Stack) -> list[dict[str, Any]]:
    return [line for line in lines(stack, "gateway.access") if line.get("limit") == "held_high"]


def seconds_above(stack: Stack) -> list[float]:
    """Of each time above the mark that the log tells of."""
    texts = [line["message"] for line in lines(stack, "gateway")]
    return [float(text.split(" again after ")[1].split(" s:")[0]) for text in texts if " again after " in text]


async def others_go_on(stack: Stack, left_seconds: float = LEFT_SECONDS) -> None:
    """While many stall, and after those were ended. Nobody was refused."""
    with SlowReader(stack) as slow:
        assert_undisturbed(await neighbours(stack))
        wait_until(lambda: bool(seconds_above(stack)), 30, "the mark is left")
        slow.goes_on()
        assert_undisturbed(await neighbours(stack))
        slow.goes_on()
    assert max(seconds_above(stack)) < left_seconds
    assert refused(stack) == []
    assert 0 < len(ended(stack)) < STALLED, "no more than needed"
    (passed,) = [line for line in lines(stack, "gateway") if "more than held_bytes_limit" in line["message"]]
    assert passed["level"] == "warning"


async def test_120_clients_that_stop_reading(stack: Stack, clients: ExitStack) -> None:
    for number in range(STALLED):
        clients.enter_context(stop_reading(stack, f"stalled-{number}"))
    await others_go_on(stack)
    for line in ended(stack):
        assert (line["status"], line["outcome"], line["closed_by"]) == (200, "broken_off", "gateway")


@pytest.mark.slow
async def test_at_the_hard_mark_too_others_go_on(own_stack: Callable[..., Stack], clients: ExitStack) -> None:
    """It is twice the high mark by default, so the burst passes it: what held most for longest is ended at once."""
    stack = own_stack(held_bytes_limit=LIMIT_BYTES, log_format="json").start()
    for number in range(STALLED):
        clients.enter_context(stop_reading(stack, f"stalled-{number}"))
    assert_undisturbed(await neighbours(stack))
    wait_until(lambda: bool(seconds_above(stack)), 30, "the mark is left")
    assert max(seconds_above(stack)) < LEFT_SECONDS
    assert refused(stack) == []


@pytest.mark.slow
@not_over("json", "chunk", because="uploads have no flow control: they move until the agent's memory is full")
async def test_120_uploads_to_a_service_that_never_reads(stack: Stack, clients: ExitStack) -> None:
    """One after the other: each moves megabytes until all buffers on its way are full, and only then stalls."""
    uploads = [clients.enter_context(begin_upload(stack, f"stalled-{number}")) for number in range(STALLED)]

    stopped = threading.Event()

    def send_all() -> None:
        for upload in uploads:
            upload.socket.setblocking(False)
            while not stopped.is_set() and select.select([], [upload.socket], [], STUCK_SECONDS)[1]:
                try:
                    upload.socket.send(bytes(PIECE_OF_UPLOAD_BYTES))
                except OSError:  # it was ended
                    break

    sending = threading.Thread(target=send_all)
    sending.start()
    try:
        async with http_client() as http:
            while sending.is_alive():
                async with http.get(stack.url("plain", "/small?n=1")) as answer:
                    assert (answer.status, await answer.text()) == (200, "small 1")
                await asyncio.sleep(1 / PIECES_PER_SECOND)  # a pace that leaves the log short
    finally:
        stopped.set()
        sending.join()
    await others_go_on(stack, LEFT_BY_SERVICES_SECONDS)
    for line in ended(stack):
        assert (line["status"], line["outcome"], line["closed_by"]) == (502, "ended_for_room", "gateway")


MESSAGE_BY_MESSAGE = {"messages_per_second": 1e9, "rate_limit_action": "slow"}


@pytest.mark.parametrize(
    "route", [{}, pytest.param(MESSAGE_BY_MESSAGE, marks=pytest.mark.slow)], ids=["spliced", "by message"]
)
async def test_120_websockets_that_nobody_reads(
    own_stack: Callable[..., Stack], clients: ExitStack, route: dict[str, Any]
) -> None:
    """As spliced as the dialect allows; and where a rate limit needs messages one by one."""
    stack = own_stack(
        held_bytes_limit=LIMIT_BYTES, held_bytes_hard_limit=16 * LIMIT_BYTES, log_format="json",
        websocket_write_timeout=60.0,
    )  # fmt: skip
    stack.services["ws"].route.update(route)
    stack.start()
    for _ in range(STALLED):
        clients.enter_context(flooded(stack))
    await others_go_on(stack)
    for line in ended(stack):
        assert (line["close_code"], line["closed_by"]) == (1013, "gateway")

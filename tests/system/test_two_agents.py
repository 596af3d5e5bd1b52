"""Two agents of one cluster: they share the load, and one with the other's id takes its place."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest

from tests.system.clients import RESET, RawClient, http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

EXCHANGES = 20
REQUESTS = 50

Make = Callable[..., Stack]


def second_service(stack: Stack) -> int:
    """Another instance of `plain`, called `other`; its port."""
    program = stack.processes.python("other", "tests.services.plain", "--name", "other")
    return int(program.wait_line("ready ").split()[-1])


async def served_by(stack: Stack) -> set[str]:
    async with http_client() as http:

        async def one() -> str:
            async with http.get(stack.url("plain", "/small?n=1")) as answer:
                assert answer.status == 200
                return answer.headers["X-Service"]

        return set(await asyncio.gather(*(one() for _ in range(REQUESTS))))


async def test_two_agents_of_one_cluster_share_the_load(own_stack: Make) -> None:
    stack = own_stack().start()
    stack.start_agent("a2", services={"plain": second_service(stack)})
    async with http_client() as http:
        answers: list[aiohttp.ClientResponse] = [
            await http.get(stack.url("plain", f"/sse?channel={number}")) for number in range(EXCHANGES)
        ]
        counts = Counter(answer.headers["X-Service"] for answer in answers)
        for answer in answers:
            answer.close()
    assert counts == {"plain": EXCHANGES // 2, "other": EXCHANGES // 2}


async def test_when_one_of_two_agents_dies_the_other_serves_all(own_stack: Make) -> None:
    stack = own_stack().start()
    first = stack.agent
    stack.start_agent("a2", services={"plain": second_service(stack)})
    first.kill()
    assert await served_by(stack) == {"other"}


async def test_while_one_of_two_agents_finishes_its_streams_no_new_request_fails(own_stack: Make) -> None:
    stack = own_stack().start()
    first = stack.agent
    async with http_client() as http:
        with RawClient(stack.address("plain")) as held:
            held.request("GET /sse?channel=held HTTP/1.1", "plain")
            assert held.answer_head().one("x-service") == "plain"
            stack.start_agent("a2", services={"plain": second_service(stack)})
            first.signal(signal.SIGTERM)
            first.wait_line("stopping")
            async with asyncio.timeout(10):  # what is on its way to it before the gateway hears of it, it serves
                while await served_by(stack) != {"other"}:
                    pass
            for _ in range(5):
                assert await served_by(stack) == {"other"}
            async with http.post(stack.control("plain", "/sse/push?channel=held&data=late")) as pushed:
                assert pushed.status == 202
            held.read_until(b"id: 1\ndata: late\n\n")
            held.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    assert first.wait_end() == 0


async def test_of_two_links_with_one_agent_id_the_newer_stays(own_stack: Make) -> None:
    """The older one is half-open: frozen, so that it neither leaves nor comes back; then it dies for good."""
    stack = own_stack().start()
    older = stack.agent
    assert await served_by(stack) == {"plain"}
    older.signal(signal.SIGSTOP)
    stack.start_agent("a1", services={"plain": second_service(stack)})
    assert await served_by(stack) == {"other"}
    older.kill()
    assert await served_by(stack) == {"other"}

"""The gateway's process stands still (SIGSTOP, a frozen host) and goes on: who is still there, and who comes anew.

The existing agent gives its yamux session up meanwhile and keeps its WebSocket, on which it then ignores every binary
byte. Only a ping of the session tells; its close makes the agent dial again.
"""

import asyncio
import signal
from collections.abc import Callable

import pytest

from tests.system.clients import http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import positions, why_gone
from tests.system.process import wait_until
from tests.system.test_existing_agent import start_existing

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

SHORT_SECONDS = 3.0
"""Longer than what counts as a pause, shorter than any agent's patience."""


async def status(stack: Stack) -> int:
    async with http_client() as http, http.get(stack.url("plain", "/small?n=1")) as answer:
        return answer.status


@pytest.mark.slow
async def test_the_existing_agent_is_asked_and_dials_again(own_stack: Callable[..., Stack]) -> None:
    stack = own_stack(link_ping_interval=1, reconnect_grace=10).start(agent=False)
    agent = start_existing(stack)
    stack.gateway.signal(signal.SIGSTOP)
    try:
        await asyncio.to_thread(agent.wait_line, "yamux ended", seconds=30)
    finally:
        stack.gateway.signal(signal.SIGCONT)
    await asyncio.to_thread(
        wait_until, lambda: len(positions(stack.gateway, " serves cluster ")) == 2, 20, "it is back"
    )
    assert why_gone(stack.gateway) == "no answer to a ping after the gateway itself stood still"
    assert await status(stack) == 200


@pytest.mark.slow
@pytest.mark.parametrize("existing", [False, True], ids=["our agent", "existing agent"])
async def test_a_pause_that_the_agent_sat_out_costs_no_link(own_stack: Callable[..., Stack], *, existing: bool) -> None:
    stack = own_stack().start(agent=not existing)
    if existing:
        start_existing(stack)
    stack.gateway.signal(signal.SIGSTOP)
    await asyncio.sleep(SHORT_SECONDS)  # the fault under test, not a wait for something
    stack.gateway.signal(signal.SIGCONT)
    assert await status(stack) == 200
    await asyncio.sleep(SHORT_SECONDS + 1.0)  # the time for the proof is over, too
    assert positions(stack.gateway, " is gone: ") == []
    assert await status(stack) == 200


async def test_a_killed_agent_is_named_and_its_end_is_in_plain_words(own_stack: Callable[..., Stack]) -> None:
    stack = own_stack(reconnect_grace=0).start(agent=False)
    agent = start_existing(stack)
    agent.kill()
    await asyncio.to_thread(stack.gateway.wait_line, " is gone: ")
    (line,) = [line for line in stack.gateway.output() if " is gone: " in line]
    assert line.endswith("of cluster c1 is gone: the connection was lost without a close")
    assert "agent None" not in line

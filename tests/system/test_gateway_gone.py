"""The gateway restarts on its port: its agents find it again, and what was open is told in order."""

import signal
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import http_client, websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import status

pytestmark = [pytest.mark.anyio, tunnel_only]

FIRST_DELAY_SECONDS = 0.3
"""The agent's pauses begin below this, and at most double: a gateway that is back is soon dialled."""

Make = Callable[..., Stack]


@app_only("it stops in its own way")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_gateway_that_was_away_serves_the_first_request_again(own_stack: Make, how: signal.Signals) -> None:
    """The request came first, and waits for the agent, which dials soon."""
    stack = own_stack(reconnect_grace=60).start()
    async with http_client() as http:
        assert await status(http, stack) == 200
    stack.gateway.signal(how)
    code = stack.gateway.wait_end()
    assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
    stack.start_gateway()
    async with http_client() as http:
        assert await status(http, stack) == 200
    # What the agent says that it is going to wait, not how long it took.
    delays = [float(line.split()[-2]) for line in stack.agent.output() if "next attempt in" in line]
    assert delays
    for number, announced in enumerate(delays):
        assert announced <= FIRST_DELAY_SECONDS * 2**number


@app_only("it stops in its own way")
async def test_a_gateway_asked_to_stop_closes_websockets_in_order_and_ends_with_0(own_stack: Make) -> None:
    stack = own_stack().start()
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("alive")
        assert await client.recv() == "alive"
        stack.gateway.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code in (1001, 1012)
    assert stack.gateway.wait_end() == 0


@app_only("it does not say it")
async def test_both_programs_say_once_that_they_are_ready(own_stack: Make) -> None:
    stack = own_stack().start()
    assert len([line for line in stack.gateway.output() if "ready:" in line]) == 1
    assert len([line for line in stack.agent.output() if "ready:" in line]) == 1


async def test_an_agent_that_starts_first_waits_for_its_gateway(own_stack: Make) -> None:
    stack = own_stack()
    agent = stack.start_agent_only()
    stack.start_gateway()
    agent.wait_line("ready:")
    async with http_client() as http:
        assert await status(http, stack) == 200

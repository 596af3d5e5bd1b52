"""A drain from its first step to its last, as clients, a service and the agent see it: with our agent, and with the
existing one, which is silent on its next link for as long as streams of the last one are open.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.system.clients import RawClient, http_client
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import positions, status
from tests.system.process import wait_until
from tests.system.test_drain import ADMIN, EventStream, closed, drain, open_all, ready
from tests.system.test_existing_agent import DELAY_SECONDS, REDIAL_SECONDS, STREAMS_LEFT, start_existing

pytestmark = [
    pytest.mark.anyio, pytest.mark.slow, tunnel_only, app_only("it stops at the first signal, in its own way")
]  # fmt: skip

Make = Callable[..., Stack]
WEBSOCKETS = 20
LOST = {"ours": "1012 'gateway is stopping'", "existing": "connection lost"}
"""What the agent says once its link is gone; before it, it says `stream ... closed` for each stream that ended."""


@pytest.mark.parametrize("whose", ["ours", "existing"])
async def test_a_drain_in_order(own_stack: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    monkeypatch.setenv("AGENT_LOG_LEVEL", "debug")
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")
    stack = own_stack(admin_token_file="admin-token", drain_delay=2.0, shutdown_grace=4.0)
    stack.start(agent=whose == "ours")
    agent = stack.agent if whose == "ours" else start_existing(stack)
    async with AsyncExitStack() as closing:
        sockets = await open_all(stack, WEBSOCKETS, closing)
        stream = closing.enter_context(EventStream(stack, "finishes"))
        stuck = closing.enter_context(RawClient(stack.address("plain")))
        stuck.request("POST /never?id=stuck HTTP/1.1", "plain", "Content-Length: 0")
        await asyncio.to_thread(lambda: urlopen(stack.control("plain", "/arrived?id=stuck")).close())

        # Not ready, but it serves: so long as balancers need to notice.
        assert (await asyncio.to_thread(drain, stack)).status == 202
        assert ready(stack) == (503, b"draining\n")
        with RawClient(stack.address("plain")) as late:
            late.request("GET /small?n=1 HTTP/1.1", "plain")
            answer = late.answer()
            assert (answer.status, answer.one("connection")) == (200, "close")
        await sockets[0].send("still open")
        assert await sockets[0].recv() == "still open"

        # WebSockets are told, spread; requests may finish meanwhile.
        await asyncio.gather(*(closed(socket) for socket in sockets))
        assert {socket.close_code for socket in sockets} == {1012}
        assert not positions(stack.gateway, "is gone: gateway is stopping")
        stream.push("one-more")
        stream.finish()

        # What is left is told that it may have been carried out, and its service that its client left.
        refused = await asyncio.to_thread(stuck.answer)
        assert (refused.status, json.loads(refused.body)["code"]) == (502, "stopping_unanswered")
        assert refused.all("retry-after") == []
    await asyncio.to_thread(lambda: urlopen(stack.control("plain", "/left?id=stuck")).close())

    # The link is last: each of these has ended before, and the agent has seen every stream end before it.
    stack.gateway.wait_line("         drained")
    (gone,) = positions(stack.gateway, "is gone: gateway is stopping")
    assert all(at < gone for text in ("with 1012", "/sse 200") for at in positions(stack.gateway, text))
    wait_until(lambda: bool(positions(agent, LOST[whose])), DELAY_SECONDS, "the agent has lost its link")

    def over() -> list[int]:
        return [at for at in positions(agent, " closed") if "stream " in agent.output()[at]]

    wait_until(lambda: len(over()) >= WEBSOCKETS + 2, DELAY_SECONDS, "the agent has seen every stream end")
    if whose == "ours":  # each stream of the other has a goroutine, which says so when its turn comes
        assert max(over()) < positions(agent, LOST[whose])[0]

    # And nothing of it keeps the agent from its next link.
    stack.gateway.kill()
    stack.start_gateway()
    serving = REDIAL_SECONDS + DELAY_SECONDS
    wait_until(lambda: bool(positions(stack.gateway, " serves cluster ")), serving, "the agent is back")
    async with http_client() as http:
        assert await status(http, stack) == 200
    assert not [line for line in agent.output() if STREAMS_LEFT in line]

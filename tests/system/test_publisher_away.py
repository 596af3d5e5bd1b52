"""A publisher whose link is lost, and a gateway that is started again: requests wait, and nobody carries another's.

The publisher is scripted, on a real WebSocket: what the gateway does is tested here, and our agent elsewhere. It speaks
json, where an answer is three messages.
"""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.system.clients import http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import DOMAIN, TOKEN, Stack
from tests.system.hostile import SECONDS
from tests.system.process import Processes, wait_until
from tests.system.publishing import Publisher, scripted_publisher
from tests.system.test_drain import ADMIN, BEARER, ask

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

HOST = f"me.dev.{DOMAIN}"
GRACE_SECONDS = 20.0
"""Longer than anything here takes: nobody waits until it is over."""


class PublishingStack(Stack):
    """Its token lets agents publish below dev.example.test."""

    def write_config(self) -> Path:
        path = super().write_config()
        own = f'token = "{TOKEN}"\n'
        path.write_text(path.read_text().replace(own, f'{own}hosts = ["*.dev.{DOMAIN}"]\n'))
        return path

    def published(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"

    def waiting(self) -> int:
        """How many requests wait, as the gateway says."""
        return int(json.loads(ask(self.port, "GET /-/status HTTP/1.1", BEARER).body)["counts"]["requests_waiting"])

    async def until_waiting(self, count: int) -> None:
        await asyncio.to_thread(wait_until, lambda: self.waiting() == count, SECONDS, f"{count} requests wait")


def publisher(stack: Stack) -> AbstractAsyncContextManager[Publisher]:
    """Of the same token and cluster as the agent that serves `plain`."""
    return scripted_publisher(stack, token=TOKEN, cluster="c1")


@pytest.fixture
def stack(processes: Processes, tmp_path: Path) -> PublishingStack:
    """Started, with an agent of the cluster that serves `plain`."""
    (tmp_path / "admin-token").write_text(f"{ADMIN}\n")
    stack = PublishingStack(tmp_path, processes, {"admin_token_file": "admin-token", "reconnect_grace": GRACE_SECONDS})
    stack.add_program("plain", "tests.services.plain")
    stack.start()
    return stack


async def body_of(http: Any, url: str) -> tuple[int, bytes]:
    async with http.get(url) as answer:
        return answer.status, await answer.read()


async def test_a_request_that_comes_while_the_link_is_lost_waits_and_is_answered(stack: PublishingStack) -> None:
    async with http_client() as http:
        async with publisher(stack) as agent:
            (answer,) = await agent.publish(HOST, watch=True)
            assert (answer["code"], answer["url"]) == ("", stack.published("/"))
            assert await body_of(http, stack.published("/one?secret")) == (200, b"published")
            (row,) = (await agent.hear("requests"))["requests"]
            assert (row["path"], row["status"], row["key"]) == ("/one", 200, HOST)
            agent.wire.transport.abort()
        stack.gateway.wait_line("of cluster c1 is gone")
        waiting = asyncio.create_task(body_of(http, stack.published("/two")))
        await stack.until_waiting(1)
        async with publisher(stack) as agent:
            assert await waiting == (200, b"published")
            assert agent.asked_for == ["/two"], "its routes were kept for it"


async def test_a_request_that_comes_after_the_gateway_was_started_again_waits_and_is_answered(
    stack: PublishingStack,
) -> None:
    async with publisher(stack) as agent:
        await agent.publish(HOST)
        stack.gateway.kill()
    stack.start_gateway()
    async with http_client() as http:
        waiting = asyncio.create_task(body_of(http, stack.published("/early")))
        await stack.until_waiting(1)
        shaking = asyncio.create_task(_refused_by(stack, "/early-ws"))
        await stack.until_waiting(2)
        assert (await body_of(http, f"http://me.{DOMAIN}:{stack.port}/"))[0] == 404, "no token covers it"
        async with publisher(stack) as agent:
            await agent.publish(HOST)
            assert await waiting == (200, b"published")
            assert await shaking == 200
            assert sorted(agent.asked_for) == ["/early", "/early-ws"]


async def test_the_cluster_and_its_publisher_never_carry_each_others_traffic(stack: PublishingStack) -> None:
    async with http_client() as http, publisher(stack) as agent:
        await agent.publish(HOST)
        for number in range(10):
            assert await body_of(http, stack.published(f"/{number}")) == (200, b"published")
            status, body = await body_of(http, stack.url("plain", f"/echo/{number}"))
            assert status == 200
            assert f"/echo/{number}".encode() in body
        assert agent.asked_for == [f"/{number}" for number in range(10)]
        stack.agent.kill()
        await asyncio.to_thread(wait_until, lambda: not stack._serves(), SECONDS, "the cluster is not connected")
        waiting = asyncio.create_task(body_of(http, stack.url("plain", "/echo/late")))
        await stack.until_waiting(1)
        assert await body_of(http, stack.published("/late")) == (200, b"published")
        await asyncio.to_thread(stack.start_agent, "a2")
        assert (await waiting)[0] == 200
        assert "/echo/late" not in agent.asked_for


async def _refused_by(stack: PublishingStack, path: str) -> int:
    """The status with which the publisher's service answers a handshake: it knows no WebSockets."""

    try:
        async with websocket(f"ws://{HOST}:{stack.port}{path}"):
            return 101
    except InvalidStatus as error:
        return error.response.status_code

"""TLS that ends at the gateway, behind a balancer at layer 4 that says who its clients are."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.fakes.certificates import Authority
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, Stack
from tests.system.test_proxy_protocol import CLIENT, FRONT, Start, World, haproxy_v1, haproxy_v2, nginx

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it takes no PROXY header")]


@pytest.mark.parametrize("start", [haproxy_v1, haproxy_v2, nginx])
async def test_http_websockets_and_agents_pass_and_the_log_shows_the_client(
    own_stack: Callable[..., Stack], tmp_path: Path, start: Start
) -> None:
    stack = own_stack(tls_certificate="tls.crt", tls_key="tls.key")
    authority = Authority(stack.folder)
    authority.write(authority.issue(f"*.{DOMAIN}", FRONT))
    world = World(stack)
    balancer = start(world, tmp_path, FRONT)
    await asyncio.to_thread(world.start_agent, balancer, authority.file)
    connector = aiohttp.TCPConnector(local_addr=(CLIENT, 0), ssl=authority.client())
    async with aiohttp.ClientSession(connector=connector) as http:
        url = f"https://{FRONT}:{balancer.port}/small?n=1"
        async with http.get(url, headers={"Host": f"plain.{DOMAIN}"}) as answer:
            assert await answer.text() == "small 1"
    async with connect(
        f"wss://ws.{DOMAIN}:{balancer.port}/echo", host=FRONT, port=balancer.port, local_addr=(CLIENT, 0), proxy=None,
        ssl=authority.client(),
    ) as socket:  # fmt: skip
        await socket.send("hello")
        assert await socket.recv() == "hello"
    await asyncio.to_thread(world.wait_access, 3)
    told = sorted((entry["kind"], entry["event"], entry["client"]) for entry in world.access())
    assert told == [("http", "ended", CLIENT), ("websocket", "ended", CLIENT), ("websocket", "opened", CLIENT)]
    assert await asyncio.to_thread(world.refused) == {}

"""Ports that agents publish: kept over a kill of either side, listed, and no other agent's business."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest

from tests.system.clients import websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Service
from tests.system.process import SAMPLE_SECONDS, Processes
from tests.system.publishing import WILDCARD, Publishing, address, publish
from tests.system.test_drain import ADMIN

pytestmark = [tunnel_only, pytest.mark.anyio]

GRACE_SECONDS = 30.0
"""Far longer than a process takes to start."""

Make = Callable[..., Publishing]


@pytest.fixture
def publishing(processes: Processes, tmp_path: Path) -> Make:
    """Makes a stack that lets agents publish; not yet started."""

    def make(**settings: str | bool | float) -> Publishing:
        (tmp_path / "admin-token").write_text(ADMIN)
        stack = Publishing(tmp_path, processes, {"admin_token_file": "admin-token", **settings})
        stack.add_program("plain", "tests.services.plain")
        stack.add_program("ws", "tests.services.websocket")
        return stack

    return make


def asked(stack: Publishing, path: str) -> Any:
    """What the operator's API answers."""
    headers = {"Authorization": f"Bearer {ADMIN}", "Host": "localhost"}
    with urlopen(Request(f"http://{LOOPBACK}:{stack.port}{path}", headers=headers)) as answer:
        return json.load(answer)


async def got(http: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with http.get(url) as answer:
        return answer.status, await answer.read()


async def echoed(url: str) -> str:
    """Over a WebSocket of its own."""
    async with websocket(f"{url.replace('http', 'ws', 1)}echo") as client:
        await client.send("through")
        return str(await client.recv())


def both(http: aiohttp.ClientSession, plain: str, ws: str) -> "asyncio.Future[list[Any]]":
    """A request and a WebSocket, opened now."""
    return asyncio.gather(got(http, f"{plain}small?n=1"), echoed(ws))


CARRIED = [(200, b"small 1"), "through"]


async def answers(http: aiohttp.ClientSession, url: str, enough: asyncio.Event) -> set[int]:
    """The statuses of one request after the other; 0 for a gateway that does not listen."""
    seen: set[int] = set()
    while not enough.is_set():
        try:
            seen.add((await got(http, url))[0])
        except aiohttp.ClientConnectionError:
            seen.add(0)
            await asyncio.sleep(SAMPLE_SECONDS)
    return seen


@pytest.mark.parametrize("killed", ["agent", "gateway"])
async def test_a_kill_costs_a_wait_and_no_address(publishing: Make, http: aiohttp.ClientSession, killed: str) -> None:
    stack = publishing(reconnect_grace=GRACE_SECONDS).start(agent=False)
    ports = [stack.services[name].port for name in ("plain", "ws")]
    command = (*map(str, ports), "--host", f"me.{WILDCARD}")  # the second one's name is given
    publisher = publish(stack, *command)
    urls = [address(publisher, port) for port in ports]
    assert urls[0] == f"http://me.{WILDCARD}:{stack.port}/"
    assert urls[1].endswith(f".{WILDCARD}:{stack.port}/")
    assert await both(http, *urls) == CARRIED
    all_along = asyncio.ensure_future(answers(http, f"{urls[0]}small?n=1", enough := asyncio.Event()))
    if killed == "agent":
        await asyncio.to_thread(publisher.kill)
        meanwhile = both(http, *urls)
        publisher = await asyncio.to_thread(publish, stack, *command)
        assert [await asyncio.to_thread(address, publisher, port) for port in ports] == urls
    else:
        await asyncio.to_thread(stack.gateway.kill)
        await asyncio.to_thread(stack.start_gateway)
        meanwhile = both(http, *urls)
    assert await meanwhile == CARRIED
    enough.set()
    assert await all_along <= ({200} if killed == "agent" else {0, 200})
    assert await both(http, *urls) == CARRIED


async def test_two_commands_of_one_person_do_not_disturb_each_other(
    publishing: Make, http: aiohttp.ClientSession
) -> None:
    stack = publishing(reconnect_grace=0.2).start(agent=False)
    ports = [stack.services[name].port for name in ("plain", "ws")]
    publishers = [publish(stack, str(port)) for port in ports]
    urls = [address(publisher, port) for publisher, port in zip(publishers, ports, strict=True)]
    assert len(set(urls)) == 2
    for _ in range(3):
        assert await both(http, *urls) == CARRIED
    assert publishers[0].stop() == 0
    assert (await got(http, urls[0]))[0] == 404
    assert await echoed(urls[1]) == "through"


async def test_the_operator_sees_them(publishing: Make) -> None:
    stack = publishing().start(agent=False)
    port = stack.services["plain"].port
    publisher = publish(stack, str(port), "--host", f"me.{WILDCARD}/shop")
    assert address(publisher, port) == f"http://me.{WILDCARD}:{stack.port}/shop"
    (row,) = asked(stack, "/-/routes?origin=published")["routes"]
    assert (row["host"], row["path"], row["cluster"]) == (f"me.{WILDCARD}", "/shop", "laptops")
    assert row["target"].endswith(f":{port}")
    assert (row["in_force"], row["connected"], row["reason"]) == (True, True, None)
    (link,) = [link for link in asked(stack, "/-/links")["links"] if link["cluster"] == "laptops"]
    assert link["agent"] == row["publisher"]


async def test_a_publisher_gets_no_requests_of_its_clusters_other_routes(
    publishing: Make, http: aiohttp.ClientSession
) -> None:
    """The route of the file leads to the same service and the same cluster, which has no other agent."""
    stack = publishing(reconnect_grace=0.2)
    port = stack.services["plain"].port
    stack.add(
        Service("by-file", port, port, cluster="laptops", route={"namespace": "published", "service": "localhost"})
    )
    stack.start()
    url = address(publish(stack, str(port), "--host", f"me.{WILDCARD}"), port)
    for _ in range(3):
        assert await got(http, f"{url}small?n=1") == (200, b"small 1")
        assert (await got(http, stack.url("by-file", "/small?n=1")))[0] == 503
        assert await got(http, stack.url("plain", "/small?n=1")) == (200, b"small 1")

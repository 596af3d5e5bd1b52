"""What may not be published: each refusal in the publisher's words, and in the operator's."""

from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tests.system.conftest import tunnel_only
from tests.system.harness import Service
from tests.system.process import Process, Processes
from tests.system.publishing import (
    FULL,
    MANY,
    MOST,
    PUBLISHED,
    TOKENS,
    WILDCARD,
    Publishing,
    address,
    publish,
    scripted_publisher,
)
from tests.system.test_drain import ADMIN
from tests.system.test_published import asked, got

pytestmark = [tunnel_only, pytest.mark.anyio]

AGENTS = 10


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Publishing:
    folder = tmp_path_factory.mktemp("publishing")
    (folder / "admin-token").write_text(ADMIN)
    stack = Publishing(folder, module_processes, {"admin_token_file": "admin-token", "reconnect_grace": 0.2})
    stack.add_program("plain", "tests.services.plain")
    stack.add(Service("full", 1, route={"host": f"*.{FULL}"}))
    stack.start(agent=False)
    return stack


def refused(publisher: Process) -> list[str]:
    """What a command that published nothing printed."""
    assert publisher.wait_end() == 1
    assert not [line for line in publisher.output() if PUBLISHED in line]
    return publisher.output()


def rejected(stack: Publishing, newest: int) -> list[dict[str, Any]]:
    """What the operator is told of routes that were not published, since the event with this number."""
    return [one for one in asked(stack, f"/-/events?after={newest}")["events"] if one["kind"] == "route_refused"]


async def test_two_agents_want_one_host(stack: Publishing, http: aiohttp.ClientSession) -> None:
    port = stack.services["plain"].port
    host = f"one.{WILDCARD}"
    first = publish(stack, str(port), "--host", host, home="first")
    url = address(first, port)
    newest = asked(stack, "/-/events")["next"]
    second = publish(stack, "1", str(port), "--host", f"two.{WILDCARD}", "--host", host, home="second")
    why = f"{host} is taken; name another host"
    assert refused(second) == [f"tunnel-agent: http://localhost:{port} is not published: {why}"]
    assert await got(http, f"{url}small?n=1") == (200, b"small 1")
    assert (await got(http, url.replace("one", "two")))[0] == 404  # it was not half published
    (event,) = rejected(stack, newest)
    (row,) = asked(stack, "/-/routes?origin=published")["routes"]
    assert row["publisher"] in event["message"]
    assert first.stop() == 0
    again = publish(stack, str(port), "--host", host, home="second")
    assert address(again, port) == url
    assert again.stop() == 0


@pytest.mark.parametrize(
    ("below", "host", "port", "told"),
    [
        ("", f"me.{WILDCARD}", 1, f"the token does not cover 'me.{WILDCARD}'; it has no hosts"),
        (WILDCARD, "me.elsewhere.test", 2, f"the token does not cover 'me.elsewhere.test'; its hosts are *.{WILDCARD}"),
        (WILDCARD, "localhost", 3, "'localhost' is a control host of the gateway"),
        (FULL, "", 4, f"no name below *.{FULL} is free; name a host"),
        ("", "", 5, "the token's hosts have no wildcard to give a name below; name a host that they cover"),
    ],
    ids=["a token without hosts", "a host of others", "a control host", "no name left", "no wildcard"],
)
def test_what_the_token_does_not_allow(stack: Publishing, below: str, host: str, port: int, told: str) -> None:
    newest = asked(stack, "/-/events")["next"]
    publisher = publish(stack, str(port), *(["--host", host] if host else []), token=TOKENS[below])
    assert refused(publisher) == [f"tunnel-agent: http://localhost:{port} is not published: {told}"]
    (event,) = rejected(stack, newest)
    assert event["message"].startswith(f"route {host or '*'}/ of agent ")
    assert event["level"] == "warning"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--add-prefix", "x"], "--add-prefix: 'x' is not valid; write a prefix like /base"),
        (["--host", f"me.{WILDCARD}/a%2fb"], "--host: '/a%2fb' is not valid; write a prefix like / or /api"),
    ],
    ids=["a rewrite", "a path"],
)
def test_what_cannot_be_served_names_the_option(stack: Publishing, arguments: list[str], told: str) -> None:
    publisher = publish(stack, "6", *arguments)
    assert refused(publisher) == [f"tunnel-agent: http://localhost:6 is not published: {told}"]


async def test_a_thousand_routes_and_no_more(stack: Publishing) -> None:
    async with AsyncExitStack() as open_links:
        for agent in range(AGENTS):
            hosts = [f"h{number}-{agent}.{MANY}" for number in range(MOST // AGENTS)]
            publisher = await open_links.enter_async_context(scripted_publisher(stack, f"agent-{agent}", TOKENS[MANY]))
            routes = await publisher.publish(*hosts)
            assert [(route["host"], route["code"]) for route in routes] == [(host, "") for host in hosts]
        late = await open_links.enter_async_context(scripted_publisher(stack, "late", TOKENS[MANY]))
        (route,) = await late.publish(f"late.{MANY}")
        assert (route["code"], route["url"]) == ("too_many_published", "")
        assert str(MOST) in route["error"]
        listed = asked(stack, "/-/routes?origin=published")
        assert len(listed["routes"]) == MOST

"""`/readyz` after a start: it waits for the expected clusters, says for how many, and names none."""

import asyncio
from typing import Any

import pytest

from app.settings import Grant, token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue

ONE = {token_hash("one"): Grant(("c1",))}
TWO = ONE | {token_hash("two"): Grant(("c2",)), token_hash("old"): Grant(("c3",), revoked=True)}


async def readyz(stage: Stage, query: str = "") -> tuple[int, str]:
    request = await Request(stage.app, target=f"/readyz{query}", host="nobody.test").start().over()
    return request.status, request.answer.decode()


@pytest.mark.parametrize(
    ("grants", "answer"),
    [
        (ONE, "starting: waiting for the agents of 1 cluster\n"),
        (TWO, "starting: waiting for the agents of 2 clusters\n"),
    ],
)
@dialogue
async def test_it_says_how_many_clusters_it_waits_for(grants: Any, answer: str):
    async with Stage(links=0, grants=grants, ready_wait=15.0) as s:
        assert await readyz(s) == (503, answer)
        assert await readyz(s, "?cluster=c1") == (503, "no agent of this cluster\n")


@dialogue
async def test_it_is_ready_with_the_last_agent():
    async with Stage(links=0, grants=ONE, ready_wait=15.0) as s:
        assert (await readyz(s))[0] == 503
        s.gateway.registry.add(FakeLink("a1"))  # type: ignore[arg-type]
        assert await readyz(s) == (200, "ready\n")
        assert await readyz(s, "?cluster=c1") == (200, "ready\n")


@dialogue
async def test_it_is_ready_after_the_wait_whoever_is_missing():
    async with Stage(links=0, grants=ONE, ready_wait=15.0) as s:
        await asyncio.sleep(14.9)
        assert (await readyz(s))[0] == 503
        await asyncio.sleep(0.2)
        assert await readyz(s) == (200, "ready\n")


@dialogue
async def test_another_cluster_of_a_balancer_outside_does_not_wait():
    async with Stage(grants=TWO, ready_wait=15.0) as s:
        assert await readyz(s) == (503, "starting: waiting for the agents of 1 cluster\n")
        assert await readyz(s, "?cluster=c1") == (200, "ready\n")


@dialogue
async def test_without_the_setting_it_does_not_depend_on_agents():
    async with Stage(links=0, grants=TWO) as s:
        assert await readyz(s) == (200, "ready\n")

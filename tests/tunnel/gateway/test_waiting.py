"""Requests that wait for a link: in which order they get it, how many may wait, and what they are told."""

import asyncio

import pytest

from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import NoAgentError, TooManyWaitingError
from tunnel.gateway.registry import Registry


@dialogue
async def test_who_has_waited_longest_is_served_first():
    """Also who was woken in vain meanwhile: that is not a new place at the end."""
    cluster = Cluster(grace=3.0)
    served: list[int] = []

    async def wait(number: int) -> None:
        await cluster.registry.wait("c1")
        served.append(number)

    loop = asyncio.get_running_loop()
    first = [loop.create_task(wait(number)) for number in range(3)]
    await quiet()
    line = cluster.dial("a1", ready=False)
    cluster.registry.ready(line.link)  # and no longer ready when they look
    await quiet()
    second = [loop.create_task(wait(number)) for number in range(3, 6)]
    await quiet()
    line.acknowledge_hello()
    line.run()
    await asyncio.gather(*first, *second)
    assert served == [0, 1, 2, 3, 4, 5]


@dialogue
async def test_the_number_that_may_wait_is_a_setting_and_four_clusters_fill_it():
    registry = Registry(clock=asyncio.get_running_loop().time, reconnect_grace=3.0, most_waiting=2)
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(registry.wait(f"c{number % 4}")) for number in range(8)]
    await quiet()
    for name in ("c0", "c9"):
        with pytest.raises(TooManyWaitingError, match="8 requests are already waiting for agents"):
            await registry.wait(name)
    assert registry.waiting_room.ends == {"served": 0, "in_vain": 0, "left": 0, "refused": 2}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert registry.waiting_room.ends["left"] == 8
    assert registry.waiting_room.waiting == 0


@dialogue
async def test_the_heads_that_wait_have_a_bound_of_their_own():
    registry = Registry(clock=asyncio.get_running_loop().time, reconnect_grace=3.0)
    loop = asyncio.get_running_loop()
    large = 16 * 1024 * 1024
    waiting = [loop.create_task(registry.wait("c1", size_bytes=large)) for _ in range(2)]
    await quiet()
    with pytest.raises(TooManyWaitingError, match=f"have heads of {2 * large} bytes"):
        await registry.wait("c1", size_bytes=1)
    waiting.pop().cancel()
    await quiet()
    waiting.append(loop.create_task(registry.wait("c1", size_bytes=1)))
    await quiet()
    assert registry.waiting_room.waiting == 2
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@dialogue
async def test_who_waits_in_vain_is_told_how_long():
    registry = Registry(clock=asyncio.get_running_loop().time, reconnect_grace=3.0)
    with pytest.raises(NoAgentError, match=r"^no agent of cluster c1 connected: waited 3.0 s for one$") as caught:
        await registry.wait("c1")
    assert caught.value.waited_seconds == pytest.approx(3.0, abs=0.01)
    assert registry.waiting_room.ends["in_vain"] == 1

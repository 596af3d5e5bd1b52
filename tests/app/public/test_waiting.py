"""One waiter: woken once, or not at all, and never left behind."""

import asyncio

import pytest

from app.public.waiting import Waiter
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_it_waits_until_it_is_woken_and_may_wait_again():
    waiter = Waiter()
    for _ in range(2):
        task = asyncio.get_running_loop().create_task(waiter.wait())
        await quiet()
        assert not task.done()
        assert repr(waiter) == "<Waiter, waited on>"
        waiter.wake()
        waiter.wake()
        await task
        assert repr(waiter) == "<Waiter, idle>"


@dialogue
async def test_a_wake_that_nobody_waits_for_is_not_kept():
    waiter = Waiter()
    waiter.wake()
    task = asyncio.get_running_loop().create_task(waiter.wait())
    await quiet()
    assert not task.done()
    waiter.wake()
    await task


@dialogue
async def test_one_that_is_cancelled_leaves_nothing():
    waiter = Waiter()
    task = asyncio.get_running_loop().create_task(waiter.wait())
    await quiet()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert repr(waiter) == "<Waiter, idle>"
    waiter.wake()


@dialogue
async def test_there_is_one_at_a_time():
    waiter = Waiter()
    first = asyncio.get_running_loop().create_task(waiter.wait())
    await quiet()
    with pytest.raises(AssertionError):
        await waiter.wait()
    waiter.wake()
    await first

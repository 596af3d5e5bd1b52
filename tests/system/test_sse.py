"""Server-sent events arrive one by one, when they are sent and not when a buffer is full."""

import asyncio

import aiohttp
import pytest

from tests.system.harness import Stack

pytestmark = pytest.mark.anyio

EVENTS = 30
PROMPT_SECONDS = 5


async def push(http: aiohttp.ClientSession, stack: Stack, channel: str, data: str | None) -> None:
    end = "" if data is None else f"&data={data}"
    async with http.post(stack.control("plain", f"/sse/push?channel={channel}{end}")) as answer:
        assert answer.status == 202


async def test_each_event_arrives_before_the_next_is_sent(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.get(stack.url("plain", "/sse?channel=single"), headers={"Accept": "text/event-stream"}) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for number in range(EVENTS):
            await push(http, stack, "single", f"event-{number}")
            async with asyncio.timeout(PROMPT_SECONDS):
                event = await answer.content.readuntil(b"\n\n")
            assert event == f"id: {number + 1}\ndata: event-{number}\n\n".encode()
        await push(http, stack, "single", None)
        assert await answer.content.read() == b""


async def test_the_head_arrives_before_any_event(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        answer = await http.get(stack.url("plain", "/sse?channel=head"))
    assert answer.status == 200
    answer.close()


async def test_events_of_many_listeners_do_not_wait_for_each_other(stack: Stack, http: aiohttp.ClientSession) -> None:
    channels = [f"many-{number}" for number in range(50)]
    answers = [await http.get(stack.url("plain", f"/sse?channel={channel}")) for channel in channels]
    for channel, answer in reversed(list(zip(channels, answers, strict=True))):
        await push(http, stack, channel, channel)
        async with asyncio.timeout(PROMPT_SECONDS):
            assert await answer.content.readuntil(b"\n\n") == f"id: 1\ndata: {channel}\n\n".encode()
    for channel, answer in zip(channels, answers, strict=True):
        await push(http, stack, channel, None)
        assert await answer.content.read() == b""

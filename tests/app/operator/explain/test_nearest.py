"""The published hosts that are written most like another."""

import asyncio

import pytest

from app.operator.explain.nearest import MOST, nearest_hosts

HOSTS = ["kuma.example.test", "chat.example.test", "*.apps.example.test", "kuma.example.com", "far.away.net"]


def nearest(host: str, hosts: list[str]) -> list[str]:
    return asyncio.run(nearest_hosts(host, hosts))


@pytest.mark.parametrize(
    ("host", "first"),
    [
        ("kumma.example.test", "kuma.example.test"),
        ("kuma.exmaple.test", "kuma.example.test"),
        ("kuma.example.co", "kuma.example.com"),
        ("wiki.aps.example.test", "*.apps.example.test"),
        ("far.away.nett", "far.away.net"),
    ],
)
def test_the_likest_comes_first(host: str, first: str):
    assert nearest(host, HOSTS)[0] == first


@pytest.mark.parametrize("host", ["zzz.qqq", "x", ""])
def test_what_is_like_none_gets_none(host: str):
    assert nearest(host, HOSTS) == []


def test_there_are_five_at_most_and_none_twice():
    hosts = [f"kuma{number}.example.test" for number in range(20)] * 2
    found = nearest("kuma.example.test", hosts)
    assert len(found) == len(set(found)) == MOST


def test_many_hosts_are_looked_at_in_turns():
    async def run() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.get_running_loop().create_task(count())
        await nearest_hosts("kuma.example.test", [f"app{number}.example.test" for number in range(2_000)])
        counting.cancel()
        return turns

    assert asyncio.run(run()) >= 2_000 / 50

"""Pings are answered late while a service lags, and then at once."""

import asyncio

import pytest

from tests.fakes.gateway import SECONDS
from tests.tunnel.agent.proxied.conversation import b64
from tunnel.agent.proxied import pongs
from tunnel.agent.proxied.pongs import Pongs

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
async def late():
    """Pongs with a lag that the test sets, and the answers that were given."""

    class Late:
        lag = 0

        def __init__(self):
            self.answers = []
            self.pongs = Pongs(lambda: self.lag)

        def ask(self, *numbers):
            for number in numbers:
                self.pongs.asked(lambda number=number: self.answers.append(number))

    return Late()


async def test_without_a_lag_it_is_now(late):
    late.lag = MIB - 1
    late.ask(1, 2)
    assert late.answers == [1, 2]


async def test_the_answers_wait_for_the_end_of_the_lag(late):
    late.lag = MIB
    late.ask(1, 2)
    late.pongs.taken()
    assert late.answers == []
    assert repr(late.pongs) == "<Pongs 2 late>"
    late.lag = 0
    late.ask(3)
    assert late.answers == []  # the order is kept
    late.pongs.taken()
    assert late.answers == [1, 2, 3]


async def test_but_not_for_long(late, monkeypatch):
    monkeypatch.setattr(pongs, "_DELAYS", ((MIB, 0.01),))
    late.lag = MIB
    answered = asyncio.Event()
    late.ask(1)
    late.pongs.asked(answered.set)
    async with asyncio.timeout(SECONDS):
        await answered.wait()
    assert late.answers == [1]


async def test_every_ping_is_answered_in_order_whatever_its_own_delay(late, monkeypatch):
    monkeypatch.setattr(pongs, "_DELAYS", ((2 * MIB, 0.05), (MIB, 0.001)))
    late.lag = 2 * MIB
    late.ask(1)
    late.lag = MIB
    answered = asyncio.Event()
    late.ask(2)
    late.pongs.asked(answered.set)
    async with asyncio.timeout(SECONDS):
        await answered.wait()
    assert late.answers == [1, 2]
    assert late.pongs._timer is None


async def test_a_longer_lag_waits_longer(late):
    delays = []
    for lag in (1, 2, 3, 4):
        late.lag = lag * MIB
        delays.append(late.pongs._delay())
    assert delays == [0.25, 1.0, 2.0, 2.0]


async def test_only_so_many_wait(late):
    late.lag = 3 * MIB
    late.ask(*range(pongs.WAITING_MAX + 2))
    assert late.answers == [0, 1]
    late.pongs.lost()
    late.lag = 0
    late.pongs.taken()
    assert late.answers == [0, 1]
    assert late.pongs._timer is None


@pytest.mark.parametrize("way", ["taken", "cancelled"])
async def test_an_upload_that_lags(conversation, way):
    answers = []
    conversation.request(method="POST", streaming=True)
    service = await conversation.service()
    service.become_slow()
    for _ in range(34):
        conversation.tell("proxy_request_chunk", {"data": b64(bytes(32_768))})
    conversation.carrier.ping_received(lambda: answers.append(1))
    assert answers == []
    if way == "taken":
        service.catch_up()
    else:
        conversation.tell("proxy_cancel")
    assert answers == [1]
    conversation.carrier.lost("over")
    await conversation.over()

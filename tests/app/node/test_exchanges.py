"""The ledger of exchanges: counting in and out, the wait for the last one, and who is relieved first."""

import asyncio

import pytest

from app.node.exchanges import TICK_SECONDS
from tests.app.node.ledger import FakeExchange, ledger
from tests.fakes.loop import dialogue, quiet


def test_an_exchange_counts_until_it_ended_and_may_end_twice():
    exchanges, account = ledger()
    one, two = FakeExchange(exchanges, account), FakeExchange(exchanges, account, 5)
    assert (list(exchanges), repr(exchanges)) == ([one, two], "<Exchanges 2, 5 bytes held>")
    exchanges.ended(one)
    exchanges.ended(one)
    assert list(exchanges) == [two]
    exchanges.ended(two)
    assert not exchanges


def test_another_takes_the_place_and_the_number_of_one():
    exchanges, account = ledger()
    one, two = FakeExchange(exchanges, account), FakeExchange(exchanges, account)
    other = FakeExchange(ledger()[0], account)
    assert [exchanges.number_of(each) for each in exchanges.in_order()] == [1, 2]
    exchanges.hand_over(one, other)
    three = FakeExchange(exchanges, account)
    assert exchanges.in_order() == [other, two, three]
    assert [exchanges.number_of(each) for each in exchanges.in_order()] == [1, 2, 3]
    assert exchanges.find(1) is other
    exchanges.tick(10.0)
    assert (one.ticks, other.ticks) == ([], [10.0])
    exchanges.ended(other)
    assert (exchanges.in_order(), exchanges.find(1)) == ([two, three], None)


def test_who_takes_the_place_of_one_without_a_number_comes_last():
    exchanges, account = ledger()
    one, two = FakeExchange(exchanges, account), FakeExchange(exchanges, account)
    other = FakeExchange(ledger()[0], account)
    exchanges.hand_over(one, other)
    assert exchanges.in_order() == [two, other]
    assert [exchanges.number_of(each) for each in exchanges.in_order()] == [1, 2]


def test_exchanges_may_end_while_all_are_stopped():
    exchanges, account = ledger()
    one, two = FakeExchange(exchanges, account), FakeExchange(exchanges, account)
    for exchange in exchanges:
        exchanges.ended(exchange)
        exchange.stop(now=True)
    assert one.stopped == two.stopped == [True]
    assert not exchanges


@dialogue
async def test_the_wait_ends_with_the_last_exchange():
    exchanges, account = ledger()
    one, two = FakeExchange(exchanges, account), FakeExchange(exchanges, account)
    loop = asyncio.get_running_loop()
    assert not await exchanges.wait_until_none(loop.time() + 1.0)
    waiting = loop.create_task(exchanges.wait_until_none(loop.time() + 60.0))
    exchanges.ended(one)
    await quiet()
    assert not waiting.done()
    exchanges.ended(two)
    assert await waiting
    assert await exchanges.wait_until_none(loop.time())


@dialogue
async def test_a_late_exchange_is_waited_for_too():
    exchanges, account = ledger()
    one = FakeExchange(exchanges, account)
    loop = asyncio.get_running_loop()
    waiting = loop.create_task(exchanges.wait_until_none(loop.time() + 60.0))
    await quiet()
    exchanges.ended(one)
    two = FakeExchange(exchanges, account)  # in the same turn of the loop
    await quiet()
    assert not waiting.done()
    exchanges.ended(two)
    assert await waiting


def test_a_fault_in_one_tick_aborts_that_exchange_alone(caplog: pytest.LogCaptureFixture):
    exchanges, account = ledger()
    faulty, other = FakeExchange(exchanges, account), FakeExchange(exchanges, account)
    faulty.fails = True
    exchanges.tick(10.0)
    assert list(exchanges) == [other]
    assert (faulty.stopped, other.stopped, other.ticks) == ([True], [], [10.0])
    assert "FakeExchange failed in its tick" in caplog.text


@dialogue
async def test_relief_goes_by_bytes_times_seconds_and_no_further_than_needed():
    exchanges, account = ledger()
    patient, newcomer = FakeExchange(exchanges, account, 300), FakeExchange(exchanges, account)
    for number in range(10):
        exchanges.tick(number * TICK_SECONDS)
    newcomer.hold(1_400)
    exchanges.tick(10 * TICK_SECONDS)
    nothing = FakeExchange(exchanges, account)
    newcomer.hold(1_701)
    assert patient.relieved == 0  # not in the middle of the caller's work
    await quiet()
    assert (patient.relieved, newcomer.relieved, nothing.relieved) == (1, 0, 0)
    newcomer.hold(2_001)
    await quiet()
    assert (patient.relieved, newcomer.relieved, nothing.relieved) == (1, 1, 0)


@dialogue
async def test_an_exchange_that_held_nothing_for_a_moment_starts_anew():
    exchanges, account = ledger()
    former, other = FakeExchange(exchanges, account, 900), FakeExchange(exchanges, account, 900)
    for number in range(10):
        exchanges.tick(number * TICK_SECONDS)
    former.hold(0)
    exchanges.tick(10 * TICK_SECONDS)
    former.hold(1_101)
    await quiet()
    assert (former.relieved, other.relieved) == (0, 1)

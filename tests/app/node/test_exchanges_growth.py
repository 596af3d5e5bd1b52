"""What the ledger costs: nothing for who sleeps, a bounded number of looks in a turn for who does not."""

import asyncio
import itertools

from app.node.exchanges import LOOKS_PER_TURN, TICK_SECONDS, Exchanges
from tests.app.node.ledger import FakeExchange, ledger
from tests.fakes.growth import calls_of
from tests.fakes.loop import dialogue, quiet
from tunnel.account import Account


class Sleeper(FakeExchange):
    """Sleeps until its deadline while it holds nothing."""

    deadline = 300.0

    def tick(self, now: float) -> float | None:
        super().tick(now)
        return self.deadline


def idle(number: int) -> tuple[Exchanges, Account, list[Sleeper]]:
    exchanges, account = ledger()
    sleepers = [Sleeper(exchanges, account) for _ in range(number)]
    exchanges.tick(0.0)
    return exchanges, account, sleepers


def test_ten_thousand_that_sleep_cost_as_much_as_ten():
    def cost_of_a_minute(number: int) -> int:
        exchanges, _, sleepers = idle(number)
        cost = calls_of(lambda: [exchanges.tick(turn * TICK_SECONDS) for turn in range(1, 121)])
        assert all(sleeper.ticks == [0.0] for sleeper in sleepers)
        return cost

    assert cost_of_a_minute(10_000) == cost_of_a_minute(10)


def test_who_sleeps_is_looked_at_at_its_deadline_and_then_at_each_tick_if_it_asks_for_it():
    exchanges, _, (sleeper, other) = idle(2)
    other.deadline = 100.2
    exchanges.wake(other)
    for now in (99.0, 99.5, 100.0, 100.5, 101.0):
        exchanges.tick(now)
    assert (sleeper.ticks, other.ticks) == ([0.0], [0.0, 99.0, 100.0, 100.5, 101.0])
    for now in (299.5, 300.0, 300.5):
        exchanges.tick(now)
    assert sleeper.ticks == [0.0, 300.0, 300.5]


def test_who_is_woken_is_looked_at_while_it_holds_something():
    exchanges, _, (sleeper, _) = idle(2)
    exchanges.tick(0.5)
    exchanges.wake(sleeper)
    exchanges.wake(sleeper)
    sleeper.hold(10)
    for now in (1.0, 1.5, 2.0):
        exchanges.tick(now)
    sleeper.hold(0)
    for now in (2.5, 3.0, 3.5):
        exchanges.tick(now)
    assert sleeper.ticks == [0.0, 1.0, 1.5, 2.0, 2.5]
    exchanges.ended(sleeper)
    exchanges.wake(sleeper)
    exchanges.tick(400.0)
    assert sleeper.ticks[-1] == 2.5  # who has ended is not woken any more


@dialogue
async def test_many_looks_are_divided_among_turns_and_others_go_on():
    exchanges, account = ledger()
    many = [FakeExchange(exchanges, account) for _ in range(10 * LOOKS_PER_TURN)]
    seen: list[int] = []
    loop = asyncio.get_running_loop()

    def another() -> None:
        """Another's work, once in each turn of the loop."""
        seen.append(sum(len(exchange.ticks) for exchange in many))
        if len(seen) < 20:
            loop.call_soon(another)

    loop.call_soon(another)
    exchanges.tick(1.0)
    exchanges.tick(1.1)  # the first round is not over: nobody is looked at twice
    await quiet()
    assert [len(exchange.ticks) for exchange in many] == [1] * len(many)
    assert max(b - a for a, b in itertools.pairwise([0, *seen])) <= LOOKS_PER_TURN


@dialogue
async def test_aborting_many_is_divided_among_turns():
    exchanges, account = ledger()
    many = [FakeExchange(exchanges, account) for _ in range(5 * LOOKS_PER_TURN)]
    aborting = asyncio.get_running_loop().create_task(exchanges.abort())
    seen = [0]
    while not aborting.done():
        await asyncio.sleep(0)
        seen.append(sum(len(exchange.stopped) for exchange in many))
    assert max(b - a for a, b in itertools.pairwise(seen)) <= LOOKS_PER_TURN
    assert [exchange.stopped for exchange in many] == [[True]] * len(many)

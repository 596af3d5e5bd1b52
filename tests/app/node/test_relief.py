"""At the high mark those that stall are ended, one by one and nobody else; new ones are refused only if that fails."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from app.node.episode import QUIET_SECONDS
from app.node.exchanges import LOOKS_PER_TURN, Exchanges
from app.node.relief import REFUSE_SECONDS, ROUND_SECONDS, Relief
from app.node.stalls import NO_LAGS, SERVICE_STALLED_SECONDS, STALLED_SECONDS, Lag, Lags
from app.observed.events import Events
from app.observed.metrics import Limit, Metrics, Relieved
from tests.app.node.ledger import FakeExchange
from tests.fakes.loop import dialogue, quiet
from tunnel.account import Account

SEEN = STALLED_SECONDS + ROUND_SECONDS
"""Until somebody who stalls has been seen to."""
REFUSED = REFUSE_SECONDS + ROUND_SECONDS


@dataclass
class World:
    """A relief, and exchanges that hold what the test says."""

    account: Account
    exchanges: Exchanges
    metrics: Metrics
    relief: Relief
    events: Events

    def exchange(self, held_bytes: int, client: str = "192.0.2.1", *, since: float | None = None) -> FakeExchange:
        """One whose client takes nothing since then; None: one that moves."""
        exchange = FakeExchange(self.exchanges, self.account, held_bytes, client=client)
        exchange.stalls = NO_LAGS if since is None else (Lag(since, held_bytes), None)
        return exchange


@contextmanager
def world(high: int = 1_000, hard: int = 100_000) -> Iterator[World]:
    account, metrics, events = Account(high, hard), Metrics(), Events()
    exchanges = Exchanges(account)
    relief = Relief(account, exchanges, metrics, events)
    account.on_high_mark, account.on_hard_mark = relief.high_mark_passed, relief.hard_mark_passed
    yield World(account, exchanges, metrics, relief, events)
    relief.stop()


def ended(*exchanges: FakeExchange) -> list[bool]:
    return [exchange.relieved > 0 for exchange in exchanges]


@dialogue
async def test_those_that_stall_are_ended_down_to_the_low_mark_and_no_further():
    with world() as w:
        now = asyncio.get_running_loop().time()
        short, longest, long = (w.exchange(400, since=now - seconds) for seconds in (1.0, 60.0, 20.0))
        await quiet()
        assert ended(short, longest, long) == [False, False, False], "one look tells nothing"
        await asyncio.sleep(SEEN)
        assert ended(short, longest, long) == [False, True, False]
        assert longest.limit is Limit.HELD_STALLED
        assert w.account.held_bytes == 800
        assert w.metrics.relieved == {Relieved.STALLED: 1, Relieved.HELD_MOST: 0, Relieved.UNREAD: 0}
        await asyncio.sleep(60.0)
        assert ended(short, longest, long) == [False, True, False]


@dialogue
async def test_whoever_moves_is_left_alone_and_then_new_ones_are_refused():
    with world() as w:
        moving = w.exchange(1_001)
        for number in range(20):
            moving.stalls = (Lag(1.0, number), None)  # slow, and it takes some
            assert w.account.refuses is (number * ROUND_SECONDS >= REFUSE_SECONDS)
            await asyncio.sleep(ROUND_SECONDS)
        assert (moving.relieved, w.relief.state) == (0, 2)
        moving.hold(1_000)
        assert (w.account.refuses, w.relief.state) == (False, 1)
        await asyncio.sleep(3 * ROUND_SECONDS)
        assert w.relief.state == 0
        told = [(event.kind, event.code) for event in w.events.since()]
        assert told == [("relieved", "began"), ("relieved", "full"), ("relieved", "over")]


@dialogue
async def test_nobody_is_refused_while_there_is_somebody_to_end():
    with world() as w:
        now = asyncio.get_running_loop().time()
        for _ in range(20):
            w.exchange(600, since=now)
            await asyncio.sleep(ROUND_SECONDS)
            assert not w.account.refuses
        assert w.metrics.relieved[Relieved.STALLED] > 10


@dialogue
async def test_a_service_gets_longer_to_show_that_it_reads_and_nobody_is_refused_meanwhile():
    with world() as w:
        exchange = w.exchange(1_001)
        for number in range(10):  # it takes half a window now and then
            exchange.stalls = (None, Lag(1.0, number // 5))
            await asyncio.sleep(ROUND_SECONDS)
            assert (exchange.relieved, w.account.refuses) == (0, number >= 7)
        exchange.stalls = (None, Lag(1.0, 9))
        await asyncio.sleep(SERVICE_STALLED_SECONDS + 2 * ROUND_SECONDS)
        assert exchange.relieved == 1


@dialogue
async def test_one_attacker_with_many_goes_before_a_single_slow_reader():
    """Though the reader stalled before it. The addresses of one IPv6 network are one."""
    with world() as w:
        now = asyncio.get_running_loop().time()
        reader = w.exchange(300, "2001:db8:9::1", since=now - 50.0)
        many = [w.exchange(100, f"2001:db8::{number:x}", since=now) for number in range(1, 11)]
        await asyncio.sleep(SEEN)
        assert ended(reader) == [False]
        assert sum(ended(*many)) == 5


@dialogue
async def test_whoever_moves_between_the_look_and_its_end_is_spared():
    with world() as w:

        class Late(FakeExchange):
            looks = 0

            def lags(self) -> Lags:
                self.looks += 1
                return (Lag(1.0, 5 if self.looks < 4 else 4), None)  # the third look makes it a candidate

        late = Late(w.exchanges, w.account, 1_001)
        await asyncio.sleep(SEEN)
        assert (late.looks >= 4, late.relieved) == (True, 0)


@dialogue
async def test_below_the_mark_nothing_runs():
    """The dialogue fails if a timer is left."""
    with world() as w:
        exchange = w.exchange(1_000, since=1.0)
        assert asyncio.get_running_loop().live_timers() == []  # type: ignore[attr-defined]
        exchange.hold(1_001)
        exchange.hold(900)
        await asyncio.sleep(3 * ROUND_SECONDS)
        assert (exchange.relieved, w.account.is_pressed) == (0, False)


@dialogue
async def test_the_looks_are_divided_among_turns():
    with world(high=1) as w:
        many = [w.exchange(1) for _ in range(10 * LOOKS_PER_TURN)]
        seen: list[int] = []

        class Counted(FakeExchange):
            def lags(self) -> Lags:
                seen[-1] += 1
                return NO_LAGS

        many.extend(Counted(w.exchanges, w.account, 1) for _ in range(10 * LOOKS_PER_TURN))
        loop = asyncio.get_running_loop()

        def another() -> None:
            seen.append(0)
            if len(seen) < 40:
                loop.call_soon(another)

        another()
        await quiet()
        assert sum(seen) == 10 * LOOKS_PER_TURN
        assert max(seen) <= LOOKS_PER_TURN


@dialogue
async def test_a_fault_in_one_does_not_keep_the_others(caplog: pytest.LogCaptureFixture):
    with world() as w:

        class Faulty(FakeExchange):
            def lags(self) -> Lags:
                raise RuntimeError("a fault of this exchange")

        Faulty(w.exchanges, w.account, 200)
        stalled = w.exchange(900, since=1.0)
        await asyncio.sleep(SEEN)
        assert ended(stalled) == [True]
        assert "Faulty failed under a look" in caplog.text


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway"]
    caplog.clear()
    return lines


@dialogue
async def test_the_log_says_who_holds_what_that_some_are_refused_and_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO, "gateway")
    with world() as w:
        now = asyncio.get_running_loop().time()
        moving = w.exchange(700, "192.0.2.7")
        stalled = w.exchange(500, since=now)
        w.account.adjust(50)
        await quiet()
        (line,) = said(caplog)
        assert line == (
            "1250 bytes are held, more than held_bytes_limit (1000): 700 of requests that move, 500 of answers that "
            "clients do not read, 50 of links, TLS and other buffers; most for 192.0.2.7, 700; those that stall are "
            "ended"
        )
        moving.hold(1_100)
        await asyncio.sleep(SEEN)
        assert ended(stalled) == [True]
        await asyncio.sleep(2 * REFUSED)
        assert said(caplog) == ["1150 bytes are held, and nobody is left who stalls: new exchanges are refused"]
        moving.hold(0)
        await asyncio.sleep(3 * ROUND_SECONDS)
        (line,) = said(caplog)
        assert line.startswith("50 bytes are held, below held_bytes_limit again after ")
        assert line.endswith(" s: 1 were ended, new exchanges were refused")


@dialogue
async def test_the_log_is_thinned(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway")
    with world() as w:
        exchange = w.exchange(0)
        for _ in range(5):
            exchange.hold(1_001)
            await quiet()
            exchange.hold(0)
            await asyncio.sleep(3 * ROUND_SECONDS)
        assert len(said(caplog)) == 2
        await asyncio.sleep(QUIET_SECONDS)
        exchange.hold(1_001)
        await quiet()
        (line,) = said(caplog)
        assert line.endswith("(4 times more since the last such line)")


@dialogue
async def test_at_the_hard_mark_it_ends_enough_that_the_next_byte_does_not_begin_it_again():
    with world(high=10_000, hard=16_000) as w:
        many = [w.exchange(200) for _ in range(80)]
        await quiet()
        assert not any(ended(*many)), "at the mark"
        last = w.exchange(1)
        await quiet()
        assert (sum(ended(*many)), ended(last)) == (6, [False])
        assert w.account.held_bytes == 80 * 200 + 1 - 6 * 200
        assert w.metrics.relieved[Relieved.HELD_MOST] == 6


@dialogue
async def test_at_the_hard_mark_too_the_ends_are_divided_among_turns():
    with world(high=10_000, hard=16_000) as w:
        many = [w.exchange(10) for _ in range(1_600)]
        w.exchange(1)
        seen = [0]
        while sum(ended(*many)) < 100:
            await asyncio.sleep(0)
            seen.append(sum(ended(*many)))
        assert max(after - before for before, after in pairwise(seen)) <= LOOKS_PER_TURN


@dialogue
async def test_where_nobody_can_be_ended_not_every_byte_looks_again():
    with world(high=10_000, hard=16_000) as w:
        idle = [w.exchange(0) for _ in range(100)]
        looks = 0

        class Counted(FakeExchange):
            @property
            def held_bytes(self) -> int:
                nonlocal looks
                looks += 1
                return 0

            @held_bytes.setter
            def held_bytes(self, _: int) -> None: ...

        Counted(w.exchanges, w.account)
        w.account.adjust(16_001)
        before = looks
        for _ in range(100):
            w.account.adjust(1)
            await asyncio.sleep(0)
        assert looks - before <= 4
        assert not any(ended(*idle))

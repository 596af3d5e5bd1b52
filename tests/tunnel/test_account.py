"""The process account, and the holdings that count into it."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from tunnel.account import Account, Holding


def test_a_holding_says_how_much_it_holds():
    account = Account()
    holding, other = Holding(account), Holding(account)
    holding.set(100)
    other.add(7)
    holding.set(30)
    holding.add(5)
    assert (holding.size_bytes, other.size_bytes, account.held_bytes) == (35, 7, 42)
    assert repr(holding) == "<Holding 35 bytes>"


def test_after_close_nothing_is_held_whatever_is_said():
    account = Account()
    holding = Holding(account)
    holding.set(100)
    holding.close()
    holding.close()
    holding.set(50)
    holding.add(50)
    assert (holding.size_bytes, account.held_bytes) == (0, 0)
    assert repr(holding) == "<Holding closed>"


def test_a_holding_that_is_forgotten_leaks_nothing():
    account = Account()
    holding = Holding(account)
    holding.set(100)
    del holding
    gc.collect()
    assert account.held_bytes == 0


def test_the_hard_mark_calls_only_when_more_is_held():
    calls = []
    account = Account(10, 20, lambda: calls.append(account.held_bytes))
    holding = Holding(account)
    holding.set(20)
    assert calls == []
    holding.add(1)
    assert calls == [21]
    holding.set(21)
    holding.add(-1)
    assert calls == [21]


STEPS = st.tuples(st.integers(0, 2), st.sampled_from(["set", "add", "close"]), st.integers(0, 1000))


@given(st.lists(STEPS))
def test_the_account_is_the_sum_of_its_holdings(steps):
    account = Account()
    holdings = [Holding(account) for _ in range(3)]
    for index, step, size in steps:
        if step == "close":
            holdings[index].close()
        else:
            getattr(holdings[index], step)(size)
        assert account.held_bytes == sum(holding.size_bytes for holding in holdings)
    holdings.clear()
    assert account.held_bytes == 0

"""A ledger over an account, and exchanges that hold what the test says."""

from app.node.exchanges import Exchanges
from tunnel.account import Account


class FakeExchange:
    """Holds what the test says, and gives all of it back when it is relieved."""

    is_websocket = False

    def __init__(self, exchanges: Exchanges, account: Account, held_bytes: int = 0) -> None:
        self.account = account
        self.held_bytes = 0
        self.ticks: list[float] = []
        self.relieved = 0
        self.stopped: list[bool] = []
        self.fails = False
        self.hold(held_bytes)
        exchanges.began(self)

    def hold(self, held_bytes: int) -> None:
        delta, self.held_bytes = held_bytes - self.held_bytes, held_bytes
        self.account.adjust(delta)

    def stop(self, *, now: bool) -> None:
        self.stopped.append(now)

    def tick(self, now: float) -> float | None:
        if self.fails:
            raise RuntimeError("a fault of this exchange")
        self.ticks.append(now)
        return None

    def relieve(self) -> None:
        self.relieved += 1
        self.hold(0)


def ledger(high: int = 1_000, hard: int = 2_000) -> tuple[Exchanges, Account]:
    account = Account(high, hard)
    exchanges = Exchanges(account)
    account.on_hard_mark = exchanges.call_for_relief
    return exchanges, account

"""A ledger over an account, and exchanges that hold what the test says."""

from app.node.exchanges import Exchanges
from app.node.relief import Relief
from app.node.stalls import NO_LAGS, Lags
from app.observed.events import Events
from app.observed.metrics import Limit, Metrics
from tunnel.account import Account


class FakeExchange:
    """Holds what the test says, and gives all of it back when it is relieved."""

    is_websocket = False

    def __init__(
        self, exchanges: Exchanges, account: Account, held_bytes: int = 0, *, client: str = "192.0.2.1"
    ) -> None:
        self.account = account
        self.client = client
        self.stalls: Lags = NO_LAGS
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

    def relieve(self, limit: Limit) -> None:
        self.relieved += 1
        self.limit = limit
        self.hold(0)

    def lags(self) -> Lags:
        return self.stalls


def ledger(high: int = 1_000, hard: int = 2_000) -> tuple[Exchanges, Account]:
    account = Account(high, hard)
    exchanges = Exchanges(account)
    account.on_hard_mark = Relief(account, exchanges, Metrics(), Events()).hard_mark_passed
    return exchanges, account

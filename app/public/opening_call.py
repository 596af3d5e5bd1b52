"""A call that is its own record, and opens its exchange: chooses an upstream, and tries once more where that is safe.

Choosing is a plain call where a link is there; only waiting for one, within the grace, is a task.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from enum import Enum

from tunnel.account import Account
from tunnel.errors import NotPassedOnError, TunnelError
from tunnel.http1 import UnsendableHeadError
from tunnel.port import Exchange, RequestHead, Sink, Upstream

from ..node.exchange_item import ExchangeItem, item_of
from ..node.gateway import Gateway
from ..node.stalls import Lags
from ..observed.record import Kind, Record
from ..rules import problems
from ..rules.request import Request
from ..rules.routes import Route

logger = logging.getLogger("gateway")

MOST_DECLINED = 8
"""How often other nodes may decline one exchange. Each time something else is known, or time has passed."""

BY_OPERATOR = "ended by the operator"
"""The detail of an exchange that the operator ended, and the reason of a WebSocket's close."""


def blame_operator(record: Record) -> bool:
    """The operator ends an exchange, unless somebody ended it before: then False."""
    if record.closed_by:
        return False
    record.outcome, record.detail, record.closed_by = problems.ENDED_BY_OPERATOR.code, BY_OPERATOR, "gateway"
    return True


class OpeningCall(Record, ABC):
    """What calls have in common until the service answers. A subclass is the sink, and says what follows."""

    __slots__ = (
        "_answer_began", "_clock", "_declined", "_exchange", "_gateway", "_opened_at", "_request", "_request_head",
        "_retried", "_route", "_waiting", "upstream",
    )  # fmt: skip

    state: Enum
    """How far it is; its value says so in words."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, gateway: Gateway, route: Route, request: Request, kind: Kind = "http") -> None:
        clock = self._clock = gateway.clock  # each get_running_loop() is a system call (getpid)
        super().__init__(
            kind, request.request_id, request.method, request.host, request.path, route.target, clock(),
            request.client, request.trace_id,
        )  # fmt: skip
        self._gateway = gateway
        self._route = route
        self._request = request
        self._request_head: RequestHead | None = None
        self._exchange: Exchange | None = None  # of an attempt that sent something, also once it has failed
        self._waiting: asyncio.Task[None] | None = None  # for a link
        self._opened_at = self.began
        self._retried = False
        self._declined = 0  # by other nodes
        self._answer_began = False  # with an interim answer, or the final one
        self.upstream: Upstream | None = None

    # --- for the operator

    @property
    def record(self) -> Record:
        """Itself."""
        return self

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        """See `Exchanging`."""
        return item_of(self, identity, str(self.state.value), self.held_bytes, self.lags(), began_at=began_at, now=now)

    # --- what a subclass says

    @property
    @abstractmethod
    def held_bytes(self) -> int:
        """See `Exchanging`."""

    @abstractmethod
    def lags(self) -> Lags:
        """See `Exchanging`."""

    @abstractmethod
    def _opened(self, now: float) -> None:
        """The exchange is open: send the body of the request, if it has one."""

    @abstractmethod
    def _refuse(self, problem: problems.Problem, detail: str = "") -> None:
        """Answer with an error of our own. `detail` is shown."""

    @abstractmethod
    def _fail(self, error: TunnelError, /, *, opened: bool = True) -> None:
        """An attempt failed. `opened` False: nothing was sent."""

    @abstractmethod
    def _is_repeatable(self) -> bool:
        """Whether the request may reach the service twice (RFC 9110 section 9.2.2), and can be sent again."""

    def _may_repeat_all(self) -> bool:
        """Nobody had what was sent of the request: whether the next attempt can send it all. A head always can."""
        return True

    # --- opening

    def _choose(self, head: RequestHead, sink: Sink, avoid: Upstream | None = None) -> None:
        """Open an exchange over another link than that of `avoid` where there is one."""
        self._request_head = head
        try:
            upstream = self._gateway.choose(self._route, self._request, avoid)
        except TunnelError as error:
            self._fail(error, opened=False)
            return
        if upstream is None:
            self._waiting = asyncio.get_running_loop().create_task(self._wait(head, sink, avoid))
        else:
            self._open(head, sink, upstream)

    async def _wait(self, head: RequestHead, sink: Sink, avoid: Upstream | None) -> None:
        try:
            upstream = await self._gateway.wait_for_upstream(self._route, self._request, avoid=avoid)
            self._waiting = None
            self._open(head, sink, upstream)
        except TunnelError as error:
            self._waiting = None
            self._fail(error, opened=False)
        except Exception:
            logger.exception("a call failed while it waited for a link")
            self._refuse(problems.INTERNAL)

    def _open(self, head: RequestHead, sink: Sink, upstream: Upstream) -> None:
        self.upstream = upstream
        clock = self._clock
        now = self._opened_at = clock()
        self.via(upstream.label, upstream.agent_id, upstream.dialect, now)
        try:
            exchange = upstream.open(head, sink, self._retried)
        except UnsendableHeadError as error:
            self._refuse(problems.BAD_REQUEST, str(error))
        except TunnelError as error:
            self._fail(error, opened=False)
        else:
            self._exchange = exchange
            self._opened(now)

    def _try_again(self, error: TunnelError, sink: Sink, *, opened: bool) -> bool:
        """Make the second attempt, where it is safe: where nothing was opened nothing was sent. False: it is not."""
        head, upstream = self._request_head, self.upstream
        if self._answer_began or head is None or upstream is None:
            return False
        if isinstance(error, NotPassedOnError):
            self._gateway.not_taken(upstream, error)
            if self._declined == MOST_DECLINED or not self._may_repeat_all():
                return False
            self._declined += 1
        elif self._retried or not error.retryable or (opened and not self._is_repeatable()):
            return False
        else:
            self._retried = True
        self._reset()
        self._exchange = None
        logger.info("%s: trying again on another stream: %s", upstream.label, error)
        self._choose(head, sink, upstream)
        return True

    @property
    def _keeps_in(self) -> Account | None:
        """Counts what is kept of the request because another node may decline it; None: nobody may."""
        return self._gateway.account if self.upstream is not None and self.upstream.node else None

    def _reset(self) -> None:
        if self._exchange is not None:
            self._exchange.reset()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

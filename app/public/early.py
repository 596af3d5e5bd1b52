"""Requests right after a start for a host that nobody has yet, but that an agent may be about to publish again.

Such a request waits within the grace. Once the host is published, the call that carries the request takes over, and
everything from the client goes to that call. Otherwise the request is refused as it would have been without the wait.
The wait is an exchange like any other: the operator sees it and may end it, a drain ends it, and the client ends it by
leaving.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from tunnel.errors import EndedByOperatorError, StoppingError, TunnelError

from ..node.exchange_item import ExchangeItem, item_of
from ..node.gateway import Gateway
from ..node.stalls import NO_LAGS, Lags
from ..observed.metrics import Limit
from ..observed.record import Kind, Record
from ..rules import problems
from ..rules.problems import Problem
from ..rules.request import Request
from ..rules.routes import Route
from . import records
from .client_port import Handshake, HandshakeListener, HttpClient, HttpListener
from .opening_call import BY_OPERATOR
from .refusals import RefusedHandshake, RefusedRequest, page
from .room import error_of

logger = logging.getLogger("gateway")

Call = TypeVar("Call", HttpListener, HandshakeListener)


class _Early(Record, ABC, Generic[Call]):
    """The wait, and its record if it ends in vain. `carry`: makes the call, once there are routes."""

    __slots__ = ("_call", "_carry", "_gateway", "_host", "_request", "_waiting")

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    is_websocket: bool

    def __init__(
        self, gateway: Gateway, host: str, request: Request, kind: Kind, carry: Callable[[list[Route]], Call]
    ) -> None:
        super().__init__(
            kind, request.request_id, request.method, request.host, request.path, None, gateway.clock(),
            request.client, request.trace_id,
        )  # fmt: skip
        self._gateway = gateway
        self._host = host
        self._request = request
        self._carry: Callable[[list[Route]], Call] = carry
        self._call: Call | None = None  # once it has taken over
        self._waiting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Wait."""
        self._gateway.began(self)
        self._waiting = asyncio.get_running_loop().create_task(self._wait())

    def broke(self) -> None:
        """A fault of ours, or of the server's, ended the call; idempotent."""
        if self._call is not None:
            self._call.broke()
        elif self.ended_at is None:
            self.status, self.outcome = 500, problems.INTERNAL.code
            self._end()

    # --- the gateway's side

    @property
    def record(self) -> Record:
        """Itself."""
        return self

    @property
    def held_bytes(self) -> int:
        """Nothing but the head, which is counted while it waits."""
        return 0

    def lags(self) -> Lags:
        """See `Exchanging`."""
        return NO_LAGS

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        """See `Exchanging`."""
        return item_of(self, identity, "waiting for an agent to publish its host", 0, NO_LAGS,
                       began_at=began_at, now=now)  # fmt: skip

    def tick(self, now: float) -> float | None:  # noqa: ARG002  (the ledger's)
        """The wait has its own end."""
        return None

    def stop(self, *, now: bool) -> None:  # noqa: ARG002  (the ledger's)
        """The gateway stops: nobody will publish the host here."""
        self._fail(StoppingError("the gateway is stopping"))

    def end_by_operator(self) -> bool:
        """See `Exchanging`."""
        is_first = self._call is None and self.ended_at is None
        self._fail(EndedByOperatorError(BY_OPERATOR))
        return is_first

    def relieve(self, limit: Limit) -> None:
        """See `Exchanging`."""
        self._gateway.metrics.limit_hit(limit)
        self._fail(error_of(limit, is_safe=True))

    # --- inside

    async def _wait(self) -> None:
        try:
            routes = await self._gateway.wait_for_routes(self._host, self._request)
            if routes is None:
                self._refuse(problems.NO_ROUTE)
            else:
                self._begin_as(self._carry(routes))
        except TunnelError as error:
            self._fail(error)
        except Exception:  # a bug: it ends only this call
            logger.exception("a call failed that had to wait for its host to be published")
            if self._call is None:
                self._refuse(problems.INTERNAL)
            else:
                self._break()

    def _fail(self, error: TunnelError) -> None:
        self._refuse(problems.refusal_of(error, sent=False), problems.detail_of(error))

    @abstractmethod
    def _refuse(self, problem: Problem, detail: str = "") -> None:
        """Have it refused, unless something has taken over already."""

    @abstractmethod
    def _break(self) -> None:
        """A fault of ours ends the call that has taken over, and its client is told."""

    def _begin_as(self, call: Call) -> None:
        """Another call takes over, and began when this one did."""
        if self._call is not None or self.ended_at is not None:
            return
        self._stop_waiting()
        self._call = call
        self._gateway.ended(self)
        if isinstance(call, Record):
            call.began = self.began
        call.begin()

    def _end(self) -> None:
        """It is over before anything took over; idempotent."""
        if self.ended_at is None:
            self._stop_waiting()
            self._gateway.ended(self)
            records.end(self._gateway, self)

    def _end_left(self) -> None:
        if self.ended_at is None:
            self.outcome, self.closed_by = "client_left", "client"
            self._end()

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting is not asyncio.current_task():
            waiting.cancel()

    def __repr__(self) -> str:
        state = f"carried by {self._call!r}" if self._call is not None else "waiting"
        return f"<{type(self).__name__} to {self._host}, {state}>"


class EarlyRequest(_Early[HttpListener]):
    """A request. What its client tells goes to the call that took over."""

    is_websocket = False

    __slots__ = ("_client", "limits_client")

    def __init__(
        self, gateway: Gateway, host: str, request: Request, client: HttpClient,
        carry: Callable[[list[Route]], HttpListener],
    ) -> None:  # fmt: skip
        super().__init__(gateway, host, request, "http", carry)
        self._client = client
        self.limits_client = False

    def begin(self) -> None:
        """Wait. That its client leaves is noticed at once where noticing it reads nothing of a body."""
        super().begin()
        request = self._request
        if request.first(b"content-length") in (None, b"0") and request.first(b"transfer-encoding") is None:
            self._client.watch()

    def body(self, data: bytes, /, *, last: bool) -> bool:
        """A part of the request's body: none is asked for before something takes over."""
        return self._call is None or self._call.body(data, last=last)

    def spoil(self, problem: Problem, why: str, /) -> None:
        """Its body is wrong, or comes too slowly."""
        if self._call is not None:
            self._call.spoil(problem, why)
        else:
            self._refuse(problem, why)

    def sending(self) -> None:
        """The client's server has bytes that it has not taken yet."""
        if self._call is not None:
            self._call.sending()

    def sent(self, size_bytes: int, /) -> None:
        """It took them."""
        if self._call is not None:
            self._call.sent(size_bytes)

    def finished(self, size_bytes: int = 0, /) -> None:
        """It took the rest of the answer."""
        if self._call is not None:
            self._call.finished(size_bytes)

    def broken_off(self) -> None:
        """The connection is being cut."""
        if self._call is not None:
            self._call.broken_off()

    def left(self, why: str = "", /) -> None:
        """The client is gone; idempotent."""
        if self._call is not None:
            self._call.left(why)
        else:
            self._end_left()

    def _begin_as(self, call: HttpListener) -> None:
        self.limits_client = call.limits_client
        super()._begin_as(call)

    def _refuse(self, problem: Problem, detail: str = "") -> None:
        self._begin_as(RefusedRequest(self._gateway, self._request, self._client, problem, detail))

    def _break(self) -> None:
        self.broke()
        self._client.abort()


class EarlyHandshake(_Early[HandshakeListener]):
    """A WebSocket's handshake. What its client tells goes to the call that took over."""

    is_websocket = True

    __slots__ = ("_client",)

    def __init__(
        self, gateway: Gateway, host: str, request: Request, client: Handshake,
        carry: Callable[[list[Route]], HandshakeListener],
    ) -> None:  # fmt: skip
        super().__init__(gateway, host, request, "websocket", carry)
        self._client = client

    @property
    def is_over(self) -> bool:
        """Nothing more is asked."""
        return self._call.is_over if self._call is not None else self.ended_at is not None

    def accepted(self) -> None:
        """The 101 is sent."""
        if self._call is not None:
            self._call.accepted()

    def refused(self) -> None:
        """The refusal is sent."""
        if self._call is not None:
            self._call.refused()

    def left(self) -> None:
        """The client is gone; idempotent."""
        if self._call is not None:
            self._call.left()
        else:
            self._end_left()

    def abandoned(self) -> None:
        """The server serves it no longer; idempotent."""
        if self._call is not None:
            self._call.abandoned()
        else:
            self._end_left()

    def _refuse(self, problem: Problem, detail: str = "") -> None:
        self._begin_as(RefusedHandshake(self._gateway, self._request, self._client, problem, detail))

    def _break(self) -> None:
        self.broke()
        self._client.refuse(*page(self._request, problems.INTERNAL))

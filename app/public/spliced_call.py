"""A spliced WebSocket as one of the node's exchanges: what takes the place of its `WebSocketCall` once it is open.

Most of its life a WebSocket is this, so it keeps nothing of its handshake but the record. Whoever ends it, it is
counted once, and its line is written to the access log.
"""

from tunnel.errors import TunnelError
from tunnel.override import override
from tunnel.port import Exchange

from ..node.admission import Ticket
from ..node.exchange_item import ExchangeItem, item_of
from ..node.gateway import Gateway
from ..observed.metrics import Limit
from ..observed.record import Record
from ..rules import problems
from ..rules.routes import Route
from . import records, websocket_states
from .client_port import SplicedClient
from .opening_call import BY_OPERATOR, blame_operator
from .room import WHY
from .splice import Splice


class SplicedCall(Splice):
    """See the module. An `Exchanging`."""

    is_websocket = True

    __slots__ = ("_gateway", "_is_counted", "_route")

    def __init__(
        self, exchange: Exchange, client: SplicedClient, reserved: int,
        gateway: Gateway, route: Route, record: Record, ticket: Ticket,
    ) -> None:  # fmt: skip
        super().__init__(
            exchange, route.policy, client, reserved=reserved,
            account=gateway.account, metrics=gateway.metrics, record=record,
        )  # fmt: skip
        self._gateway = gateway
        self._route = route
        self._is_counted = True  # until it has ended
        ticket.give_up()

    @override
    def begin(self, early: bytes, error: TunnelError | None = None, *, ended: bool = False) -> None:
        try:
            super().begin(early, error, ended=ended)
        except Exception:
            self.broke()
            raise

    # --- the gateway's side

    @property
    def record(self) -> Record:
        """See `Exchanging`."""
        return self._record

    @property
    def client(self) -> str:
        """See `Exchanging`."""
        return self._record.client

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        """See `Exchanging`."""
        state = websocket_states.TALKING.value
        return item_of(self._record, identity, state, self.held_bytes, self.lags(), began_at=began_at, now=now)

    def end_by_operator(self) -> bool:
        """See `Exchanging`."""
        is_first = blame_operator(self._record)
        self.stop(now=False, reason=BY_OPERATOR)
        return is_first

    @override
    def relieve(self, limit: Limit = Limit.HELD_HARD) -> None:
        self._record.detail = WHY[limit]
        super().relieve(limit)

    # --- told by its splice

    @override
    def wake(self) -> None:
        self._gateway.exchanges.wake(self)

    @override
    def talked(self) -> None:
        self._end()

    @override
    def broke(self) -> None:
        if self._is_counted:
            self._record.outcome = problems.INTERNAL.code
            self._end()

    def _end(self) -> None:
        """Count, log, let go of everything; once."""
        if self._is_counted:
            self._is_counted = False
            self.drop()
            self._gateway.admission.left(self._route, self._record.client)
            self._gateway.ended(self)
            records.end(self._gateway, self._record, self._route)

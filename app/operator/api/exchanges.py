"""The exchanges that run now: whose they are, where they go, what they wait for. And the end of one."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from ...node.exchange_item import ExchangeItem
from ...node.exchanges import Exchanging
from ...node.gateway import Gateway
from ...observed.events import EventKind
from ...observed.record import Record, path_of, printable
from ...rules.hosts import normalise_host
from .errors import ApiError, gone, not_found
from .gathering import NodeTold
from .pages import PAGING, Step, number_after, page
from .parameters import Choice, Parameter, Text
from .resources import Answer, Asked, Node, answer

_IDENTITY: Final = re.compile(r"exchange-([1-9][0-9]{0,17})")


class ExchangeOfNode(ExchangeItem, frozen=True, kw_only=True):
    """One exchange. `node`: which carries it, in an answer over several nodes."""

    node: str | UnsetType = UNSET


class ExchangePage(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges, the oldest first."""

    exchanges: list[ExchangeOfNode]
    next: str | None
    total: int
    nodes: list[NodeTold] | UnsetType = UNSET
    """In an answer over several nodes: who was asked."""


class ExchangeEnded(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange was told to end."""

    id: str
    message: str


LIST: Final = (
    Parameter("kind", Choice(("http", "websocket")), "Only exchanges of this kind."),
    Parameter("cluster", Text(), "Only those to this cluster."),
    Parameter("host", Text(), "Only those for this host, whatever its port."),
    Parameter("client", Text(), "Only those of this client's address."),
    Parameter("link", Text(), "Only those on this link."),
    Parameter("request_id", Text(), "Only those with this request id."),
    *PAGING,
)

_FILTERS: Final[dict[str, Callable[[Record], str | None]]] = {
    "kind": lambda record: record.kind,
    "cluster": lambda record: record.target.cluster if record.target is not None else None,
    "host": lambda record: normalise_host(record.host.decode("latin-1")),
    "client": lambda record: record.client,
    "link": lambda record: record.link,
    "request_id": lambda record: record.request_id,
}


async def exchanges(node: Node, asked: Asked) -> Answer:
    """The exchanges, in the order in which they began."""
    gateway = node.gateway
    found = await page(_steps(gateway, asked), asked)
    return found.answer("exchanges", len(gateway.exchanges))


async def exchange(node: Node, asked: Asked) -> Answer:
    """One of them."""
    number, one = _named(node.gateway, asked.path["id"])
    return answer(_item(node.gateway, number, one))


async def end_exchange(node: Node, asked: Asked) -> Answer:
    """End one, as a drain would: a WebSocket with 1012, a request at once. One that is ending is no event again."""
    gateway = node.gateway
    number, one = _named(gateway, asked.path["id"])
    record = one.record
    target = record.target
    if not one.end_by_operator():
        return answer(ExchangeEnded(id=f"exchange-{number}", message="it was ending already"), 202)
    gateway.events.emit(
        EventKind.EXCHANGE_ENDED_BY_OPERATOR,
        f"{record.kind} {printable(record.host)}{path_of(record.path)}, id {record.request_id}, ended by the operator",
        cluster=target.cluster if target is not None else "", agent=record.agent, link=record.link,
        address=record.client,
    )  # fmt: skip
    message = "the WebSocket is being closed with 1012" if one.is_websocket else "the request was ended"
    return answer(ExchangeEnded(id=f"exchange-{number}", message=message), 202)


def _steps(gateway: Gateway, asked: Asked) -> Iterator[Step]:
    wanted = {name: asked.query[name] for name in _FILTERS if asked.query[name] is not None}
    if "host" in wanted:
        wanted["host"] = normalise_host(wanted["host"])
    begin, ledger = number_after(asked), gateway.exchanges
    for one in ledger.in_order():
        if one not in ledger:  # it ended while the loop had its turn
            yield None
            continue
        number = ledger.number_of(one)
        record = one.record
        if number <= begin or any(_FILTERS[name](record) != value for name, value in wanted.items()):
            yield None
        else:
            yield str(number), _item(gateway, number, one)


def _item(gateway: Gateway, number: int, one: Exchanging) -> ExchangeItem:
    began_at = gateway.in_wall_clock(one.record.began)
    return one.item(f"exchange-{number}", began_at=began_at, now=time.monotonic())


def _named(gateway: Gateway, name: str) -> tuple[int, Exchanging]:
    """The exchange of this name. Raises ApiError."""
    match = _IDENTITY.fullmatch(name)
    number = int(match[1]) if match is not None else 0
    one = gateway.exchanges.find(number)
    if one is None:
        raise _missing(gateway, number)
    return number, one


def _missing(gateway: Gateway, number: int) -> ApiError:
    if 0 < number <= gateway.exchanges.last_number:
        return gone("this exchange has ended; GET /-/exchanges lists those that run")
    return not_found("there is no exchange of this name; GET /-/exchanges lists those that run")

"""One WebSocket call in each of its states, and everything that it can be told. No server: plain calls."""

import contextlib
from collections.abc import AsyncIterator, Callable

from app.public.reading import read_request
from app.public.websocket_call import WebSocketCall
from tests.app.stage import HOST, Stage
from tests.fakes.service import FakeService
from tests.fakes.websocket_client import FakeHandshake
from tunnel.errors import LinkLostError, ServiceBrokeOffError, ServiceUnreachableError
from tunnel.port import ResponseHead
from tunnel.websocket import Connection, Role
from tunnel.websocket.handshake import accept_for


class World:
    """A gateway with fake links, and one WebSocket of a client."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.client = FakeHandshake()
        route = stage.gateway.route_of(HOST, b"/")
        assert route is not None
        request = read_request(
            method="GET", path=b"/", query=b"", fields=[(b"host", HOST.encode())], peer="203.0.113.9",
            peer_scheme="ws", proxies=None, is_websocket=True, subprotocols=("chat",),
        )  # fmt: skip
        self.call = WebSocketCall(stage.gateway, route, request, self.client)
        self.stage.gateway.open()

    @property
    def service(self) -> FakeService:
        return FakeService(self.stage.exchange)


@contextlib.asynccontextmanager
async def world(links: int = 1, **settings: object) -> AsyncIterator[World]:
    async with Stage(links, **settings) as stage:
        made = World(stage)
        yield made
        made.call.abandoned()  # what every door says in the end; the stage then looks whether anything is left


def new(w: World) -> None:
    assert not w.call.is_over


def choosing(w: World) -> None:
    """Its cluster has lost its link just now."""
    w.stage.link.available = False
    w.call.begin()


def opened(w: World) -> None:
    w.call.begin()


def declined(w: World) -> None:
    opened(w)
    w.stage.exchange.answer(403, [(b"X-Why", b"because")])
    w.stage.exchange.bring(b"not so")


def accepting(w: World) -> None:
    opened(w)
    w.service.accept(b"chat")


def relaying(w: World) -> None:
    declined(w)
    w.stage.exchange.finish()


def refused(w: World) -> None:
    opened(w)
    w.stage.exchange.fail(ServiceUnreachableError("no such name"))


def talking(w: World) -> None:
    accepting(w)
    w.call.accepted()


def left(w: World) -> None:
    opened(w)
    w.call.left()


def over(w: World) -> None:
    relaying(w)
    w.call.refused()


REACH: dict[str, Callable[[World], None]] = {
    "NEW": new, "CHOOSING": choosing, "OPEN": opened, "DECLINED": declined, "ACCEPTING": accepting,
    "RELAYING": relaying, "REFUSED": refused, "TALKING": talking, "LEFT": left, "OVER": over,
}  # fmt: skip

FAR = 1_000_000.0
FRAME = Connection(Role.SERVER).send_message("hello")


def answer_with_101(call: WebSocketCall) -> None:
    accept = accept_for(call._key)
    call.head(
        ResponseHead(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept)])
    )


INPUTS: dict[str, Callable[[WebSocketCall], object]] = {
    "accepted": lambda call: call.accepted(),
    "refused": lambda call: call.refused(),
    "left": lambda call: call.left(),
    "broke": lambda call: call.broke(),
    "abandoned": lambda call: call.abandoned(),
    "a 103": lambda call: call.head(ResponseHead(103)),
    "a 101": answer_with_101,
    "a bad 101": lambda call: call.head(ResponseHead(101)),
    "a 403": lambda call: call.head(ResponseHead(403)),
    "data": lambda call: call.data(FRAME),
    "trailers": lambda call: call.trailers([(b"a", b"b")]),
    "end": lambda call: call.end(),
    "failed": lambda call: call.failed(ServiceBrokeOffError("gone")),
    "failed, to be repeated": lambda call: call.failed(LinkLostError("gone")),
    "writable": lambda call: call.writable(),
    "stop": lambda call: call.stop(now=False),
    "stop now": lambda call: call.stop(now=True),
    "end by the operator": lambda call: call.end_by_operator(),
    "relieve": lambda call: call.relieve(),
    "tick": lambda call: call.tick(0.0),
    "tick, far too late": lambda call: call.tick(FAR),
}

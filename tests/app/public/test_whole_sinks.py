"""A sink that was told its answer by `whole` can do nothing to the exchange that comes next, which may be its old one.

Two calls follow each other on one real connection, where both get the same exchange object. Whatever the first call is
told by its client and its gateway from then on, the second one's exchange goes on undisturbed.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

from hypothesis import given, settings
from hypothesis import strategies as st

import app
import tunnel
from app.node.exchanges import Exchanging
from app.public.client_port import HttpListener
from app.public.http_call import HttpCall
from app.public.http_states import State
from app.public.reading import read_request
from app.public.rewritten_call import RewrittenCall
from app.rules import problems
from app.rules.rewrite import Rewrite
from tests.app.stage import HOST, Stage
from tests.fakes.http_client import FakeHttpClient
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue
from tests.tunnel.http1.talk import Talk
from tunnel.nobody import NOBODY
from tunnel.port import Exchange, RequestHead, Sink

BODY = b"x" * 20_000  # of an answer that a call holds once its client is slow
WHOLE = b"HTTP/1.1 %d OK\r\nContent-Length: 20000\r\n\r\n%b"


class OneConnection(FakeLink):
    """A link whose exchanges follow each other on a single real connection."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk()
        self.opened: list[Exchange] = []

    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> Exchange:  # type: ignore[override]
        self.opened.append(self.talk.connection.open(head, sink))
        return self.opened[-1]


def begun(stage: Stage, rewrite: Rewrite | None = None) -> tuple[HttpCall, FakeHttpClient]:
    route = stage.gateway.route_of(HOST, b"/")
    assert route is not None
    request = read_request(
        method="GET", path=b"/", query=b"", fields=[(b"host", HOST.encode())], peer="203.0.113.9", peer_scheme="http",
        proxies=None,
    )  # fmt: skip
    client = FakeHttpClient()
    call = (
        HttpCall(stage.gateway, route, request, client)
        if rewrite is None
        else RewrittenCall(stage.gateway, route, request, client, rewrite)
    )
    call.begin()
    return call, client


LATE: dict[str, Callable[[HttpCall], object]] = {
    "body": lambda call: call.body(b"x", last=False),
    "body, the last": lambda call: call.body(b"", last=True),
    "spoil": lambda call: call.spoil(problems.BAD_REQUEST, "a bad chunk"),
    "spoil, too slow": lambda call: call.spoil(problems.REQUEST_TIMEOUT, "too slow"),
    "sending": lambda call: call.sending(),
    "sent": lambda call: call.sent(len(BODY)),
    "sent, in part": lambda call: call.sent(100),
    "finished": lambda call: call.finished(),
    "finished, with the last bytes": lambda call: call.finished(100),
    "broken_off": lambda call: call.broken_off(),
    "left": lambda call: call.left("gone"),
    "broke": lambda call: call.broke(),
    "stop": lambda call: call.stop(now=False),
    "stop, now": lambda call: call.stop(now=True),
    "end_by_operator": lambda call: call.end_by_operator(),
    "relieve": lambda call: call.relieve(),
    "tick": lambda call: call.tick(call.began + 1.0),
    "tick, after all deadlines": lambda call: call.tick(call.began + 100_000.0),
    "held_bytes": lambda call: call.held_bytes,
    "lags": lambda call: call.lags(),
    "record": lambda call: call.record,
    "item": lambda call: call.item("exchange-1", began_at=0.0, now=call.began + 1.0),
    "writable": lambda call: call.writable(),
    "repr": repr,
}
"""All that its client, its gateway and its exchange tell a call that has its answer."""

PART = WHOLE[: -len(b"%b")] % 201 + BODY[:-1]

NEXT: dict[str, tuple[int, Callable[[OneConnection], None]]] = {
    "asked": (0, lambda link: None),
    "pausing before its answer": (0, lambda link: link.opened[-1].pause()),
    "answering": (100, lambda link: link.talk.stream.bring(PART[:100])),
    "answering, paused": (len(PART), lambda link: link.talk.stream.bring(PART)),
    "answered": (len(PART) + 1, lambda link: link.talk.stream.bring(WHOLE % (201, BODY))),
}
"""How far the second call is: the bytes of its answer that came, and how it got there."""


@settings(deadline=None, max_examples=150)
@given(
    status=st.sampled_from([200, 404, 500, 700]),
    begun_before=st.integers(0, 3),
    late=st.lists(st.sampled_from(sorted(LATE)), max_size=6),
    reached=st.sampled_from(sorted(NEXT)),
    rewrite=st.sampled_from([None, Rewrite(b"localhost")]),
)
def test_an_old_call_leaves_the_next_ones_exchange_alone(
    status: int, begun_before: int, late: list[str], reached: str, rewrite: Rewrite | None
) -> None:
    async def talk() -> None:
        async with Stage(0) as stage:
            link = OneConnection()
            stage.gateway.registry.add(link)  # type: ignore[arg-type]
            old, old_client = begun(stage, rewrite)
            stream = link.talk.stream
            stream.bring(WHOLE % (status, BODY))
            assert old_client.status == (status if status < 600 else 502)
            for name in late[:begun_before]:  # before the next call has the exchange
                LATE[name](old)
            call, client = begun(stage)
            assert link.opened[1] is link.opened[0]
            NEXT[reached][1](link)
            exchange = link.opened[1]
            before = seen(link, call, client)
            for name in late[begun_before:]:
                LATE[name](old)
                assert seen(link, call, client) == before
            if reached == "pausing before its answer":
                exchange.resume()
            stream.bring(*filter(None, [(WHOLE % (201, BODY))[NEXT[reached][0] :]]))
            taken = 0
            while len(client.body) > taken:
                call.sent(len(client.body) - taken)
                taken = len(client.body)
            assert (client.status, taken, call.state) == (201, len(BODY), State.ANSWERING)
            assert (stream.state, stream.unacknowledged) == ("open", 0)
            call.finished()
            assert call.outcome == "ok"
            old.left()

    dialogue(talk)()


def seen(link: OneConnection, call: HttpCall, client: FakeHttpClient) -> tuple[object, ...]:
    """All that the late ways of an old sink could change."""
    stream, exchange = link.talk.stream, link.opened[-1]
    return (
        stream.state, stream.written, stream.acknowledged, stream.owner, repr(exchange), exchange.held_bytes,
        call.state, call.held_bytes, list(client.log), list(link.talk.told),
    )  # fmt: skip


def modules(package: ModuleType) -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_every_sink_that_takes_whole_answers_is_tried_here() -> None:
    sinks = {
        found
        for module in [*modules(app), *modules(tunnel)]
        for _, found in inspect.getmembers(module, inspect.isclass)
        if all(hasattr(found, name) for name in ("whole", "head", "failed"))
    }
    assert {found for found in sinks if not getattr(found, "_is_protocol", False)} == {HttpCall, RewrittenCall}
    assert not hasattr(NOBODY, "whole")


def test_every_way_to_tell_a_call_is_tried_here() -> None:
    """All but `begin`, which comes once, and what an exchange does not tell after `whole`."""
    names = {name for port in (HttpListener, Exchanging) for name in vars(port) if not name.startswith("_")}
    ways = names - {"limits_client", "client"}
    assert {name.partition(",")[0] for name in LATE} == (ways - {"begin"}) | {"writable", "repr"}

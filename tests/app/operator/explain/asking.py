"""Asks for explanations, and holds them against the access line of a real request for the same URL."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from app.operator.explain.answer import Explanation
from app.operator.explain.explaining import explain
from app.operator.explain.question import question_of
from app.settings import Grant, token_hash
from tests.app.public.limits import Lines
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import CLIENT, Request, WebSocket
from tests.fakes.exchange import FakeExchange
from tests.fakes.link import FakeLink
from tests.fakes.loop import quiet
from tunnel.gateway.figures import NO_FIGURES, Figures
from tunnel.gateway.round_trips import RoundTrips

URL = f"http://{HOST}/a"
WS_URL = f"ws://{HOST}/a"
TOKENS = {token_hash("of-c1"): Grant(("c1",)), token_hash("of-c2"): Grant(("c2",))}


class Link(FakeLink):
    """With what an operator is shown of a link. It answers pings at once."""

    agent_version = address = ""
    heard_seconds = 0.0
    going_away = False

    def __init__(self, cluster: str = "c1") -> None:
        super().__init__("a1", cluster)
        self.name = self.label = f"link-{self.name.partition('-')[2]}"
        self.token_hash = b""  # type: ignore[assignment]
        self.round_trips = RoundTrips()
        self.clock = asyncio.get_running_loop().time

    def figures(self) -> Figures:
        return NO_FIGURES

    def probe(self) -> None:
        self.round_trips.answered(0.012)


def stage(*, links: int = 1, **settings: Any) -> Stage:
    made = Stage(links=0, **{"grants": TOKENS, **settings})
    for _ in range(links):
        made.links.append(Link())
        made.gateway.registry.add(made.links[-1])  # type: ignore[arg-type]
    return made


async def explained(s: Stage, url: str, **options: Any) -> Explanation:
    return await explain(s.gateway, question_of(url, **options), CLIENT[0])


Act = Callable[[FakeExchange], None]


async def settled(s: Stage, act: Act | None) -> None:
    """The service's end of what was just opened."""
    await quiet()
    if act is not None:
        act(s.link.exchanges[-1])


async def real(s: Stage, url: str, act: Act | None, origin: str | None = None) -> None:
    """A client's request for the same URL, to its end."""
    parts = urlsplit(url)
    headers = [] if origin is None else [(b"origin", origin.encode())]
    kind = WebSocket if parts.scheme == "ws" else Request
    call = kind(
        s.app, target=f"{parts.path}?{parts.query}" if parts.query else parts.path, host=parts.netloc, headers=headers
    ).start()
    await settled(s, act)
    await call.over()


async def agreeing(s: Stage, lines: Lines, url: str, act: Act | None = None, origin: str | None = None) -> Explanation:
    """The explanation, which says the same as the lines of its probe and of a real request."""
    await real(s, url, act, origin)
    line = lines.last
    task = asyncio.get_running_loop().create_task(explained(s, url, origin=origin))
    await settled(s, act)
    told = await task
    probe = told.probe
    assert probe is not None
    assert lines.last["request_id"] == probe.request_id
    for word in ("outcome", "detail", "status", "limit", "closed_by", "close_code", "client", "cluster_id"):
        assert lines.last[word] == line[word], word
    assert (told.code, told.status) == (line["outcome"], line["status"])
    assert (probe.outcome, probe.status, probe.detail) == (line["outcome"], line["status"], line["detail"] or None)
    return told


async def foreseen(s: Stage, lines: Lines, url: str, **options: Any) -> Explanation:
    """The same, where all of it is known before anything is sent; and nothing is sent."""
    told = await agreeing(s, lines, url, **options)
    assert told.probe is not None
    assert told.probe.sent is False
    ended = len(lines.ended)
    before = await explained(s, url, probes=False, **options)
    assert len(lines.ended) == ended
    assert before.probe is None
    for word in ("code", "status", "reason", "verdict", "hint", "route", "candidates", "policy"):
        assert getattr(before, word) == getattr(told, word), word
    return told


def summary(told: Explanation) -> tuple[str, int | None, str | None]:
    return told.code, told.status, told.reason


def answer(exchange: FakeExchange) -> None:
    exchange.whole(b"hello")

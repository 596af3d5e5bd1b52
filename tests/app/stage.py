"""The application with one routed host, and a tunnel of which the test is the far end."""

import asyncio
import dataclasses
from typing import Any, Self

from app.main import create_app
from app.node.gateway import Gateway
from app.node.turns import Turns
from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from app.settings import Settings
from tests.fakes.asgi import App
from tests.fakes.exchange import FakeExchange
from tests.fakes.link import TARGET, FakeLink

HOST = "app.example.test"


class Stage:
    """An application with one routed host, and fake links."""

    def __init__(self, links: int = 1, **settings: Any) -> None:
        settings.setdefault("reconnect_grace", 0.0)
        names = {field.name for field in dataclasses.fields(Policy)}
        policy = Policy(**{name: settings.pop(name) for name in list(settings) if name in names})
        settings.setdefault("routes", RouteTable([Route(HOST, b"/", TARGET, policy)]))
        self.app: App = create_app(Settings(**settings))
        self.gateway: Gateway = self.app.state.gateway  # type: ignore[attr-defined]
        self.gateway.turns = Turns(lambda: asyncio.get_running_loop().time())  # however slow the machine is
        self.links = [FakeLink(f"a{number}") for number in range(links)]
        for link in self.links:
            self.gateway.registry.add(link)  # type: ignore[arg-type]

    @property
    def link(self) -> FakeLink:
        return self.links[0]

    @property
    def exchange(self) -> FakeExchange:
        return self.link.only

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.gateway.aclose()
        if kind is None:
            assert not self.gateway.exchanges
            assert repr(self.gateway.admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"
            assert self.gateway.account.held_bytes == 0

"""A gateway that has just started: agents that published through the one before it are not back yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.published import Holder
from app.settings import Grant, token_hash
from tests.app.publications import publish
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import FakeLink

GRACE = 3.0
HOST = "me.dev.test"
GRANT = Grant(("c1",), hosts=("*.dev.test",))
GRANTS = {token_hash("good"): GRANT, token_hash("gone"): Grant(("c1",), revoked=True, hosts=("*.gone.test",))}


@dataclass
class World:
    """A gateway that has just started."""

    stage: Stage
    link: FakeLink

    def publish(self, host: str = HOST, **wanted: Any) -> None:
        """The agent is back, with a link that is ready."""
        gateway = self.stage.gateway
        gateway.registry.add(self.link)  # type: ignore[arg-type]
        holder = Holder("c1", "p1", token_hash("good"), self.link.name, "192.0.2.7")
        assert publish(gateway, holder, host, **wanted) == [""]

    @property
    def waiting(self) -> int:
        return self.stage.gateway.registry.waiting_room.waiting


@asynccontextmanager
async def started(**settings: Any) -> AsyncIterator[World]:
    defaults = {"grants": GRANTS, "reconnect_grace": GRACE, "shutdown_grace": 2.0, "drain_delay": 0.0}
    async with Stage(links=0, **{**defaults, **settings}) as stage:
        yield World(stage, FakeLink("p1", publisher="p1"))
        assert stage.gateway.registry.waiting_room.waiting == 0
        assert repr(stage.gateway.to_come) == "<HostsToCome 0 waiting>"
        assert stage.gateway.to_come._waiting == {}


def asked(world: World, target: str = "/", *, host: str = HOST, body: bytes | None = b"", **scope: Any) -> Request:
    request = Request(world.stage.app, target=target, host=host, **scope)
    if body is not None:
        request.body(body)
    return request.start()

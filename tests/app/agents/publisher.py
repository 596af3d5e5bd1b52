"""An agent that dials in to publish: what it says, and what it is told."""

from dataclasses import replace
from typing import Any

from app.settings import Grant, token_hash
from tests.app.agents.dial import Dial, text
from tests.app.stage import Stage
from tests.fakes.loop import quiet
from tunnel.gateway.link import Link

TOKEN, OTHERS, REVOKED = "good", "other", "gone"
GRANT = Grant(("c1",), hosts=("*.dev.test", "one.test"))
GRANTS = {
    token_hash(TOKEN): GRANT,
    token_hash(OTHERS): replace(GRANT, hosts=("*.other.test",)),
    token_hash(REVOKED): replace(GRANT, revoked=True),
    token_hash("wide"): Grant(("c1", "c2"), hosts=("*.dev.test",)),
}
FEATURES = {"supports_yamux": True, "publishes": True}
HOST = "me.dev.test"


def stage(**settings: Any) -> Stage:
    return Stage(links=0, **{"grants": GRANTS, **settings})


def route(host: str = HOST, **more: Any) -> dict[str, Any]:
    return {"key": "5173", "host": host, "port": 5173, **more}


class Publisher(Dial):
    """See the module. `register` takes it through its registration."""

    def __init__(self, stage: Stage, token: str = TOKEN, agent_id: str = "p1", **scope: Any) -> None:
        super().__init__(stage, "/agent", token, **scope)
        self.stage = stage
        self.agent_id = agent_id

    async def register(self, *, ready: bool = True, **more: Any) -> "Publisher":
        payload = {"agent_id": self.agent_id, "features": FEATURES, **more}
        self.say(text("register", payload, "r1"))
        await quiet()
        if ready and "gateway_hello" in self.kinds:
            self.say(text("gateway_hello_ack", {"use_yamux": True}))
            await quiet()
        return self

    @property
    def link(self) -> Link:
        (link,) = self.stage.gateway.registry.links(("c1", self.agent_id))
        return link

    async def publish(self, *routes: dict[str, Any], request_id: str = "p", **more: Any) -> None:
        self.say(text("publish", {"routes": list(routes), "name_seed": "seed", **more}, request_id))
        await quiet()

    def answers(self, kind: str = "published") -> list[tuple[str | None, Any]]:
        """The request ids and payloads of what it was told."""
        return [(each.get("request_id"), each["payload"]) for each in self.told if each["type"] == kind]

    def hosts(self) -> list[str]:
        """All that is published at the gateway."""
        return [one.host for one in self.stage.gateway.published]

    async def go(self, code: int = 1001) -> None:
        self.leave(code)
        await self.over()

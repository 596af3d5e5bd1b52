"""Names that an agent registers with are cut: they stand in the log, on pages and in every access line."""

import pytest

from tests.app.agents.test_endpoints import Dial, stage, text
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tunnel.wire.messages import NAME_LIMIT


async def gone(dial: WebSocket) -> None:
    dial.leave(1006)
    await dial.over()


@pytest.mark.parametrize("size", [NAME_LIMIT, NAME_LIMIT + 1, 100_000])
@dialogue
async def test_an_agents_id_and_version(size: int):
    async with stage() as s:
        dial = Dial(s, "/agent")
        await quiet()
        dial.say(
            text(
                "register", {"agent_id": "a" * size, "agent_version": "v" * size, "features": {"supports_yamux": True}}
            )
        )
        await quiet()
        (link,) = s.gateway.registry.links("c1")
        assert (link.agent_id, link.agent_version) == ("a" * NAME_LIMIT, "v" * NAME_LIMIT)
        assert all(len(message) < 2_000 for message in dial.heard)
        await gone(dial)

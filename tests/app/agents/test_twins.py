"""Two processes that dial in with one agent id: which of them stays, and what the other is told."""

import json

from tests.app.agents.dial import Dial, stage, text
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_a_twin_is_answered_503_after_three_replacements():
    """The existing agent is known by its cluster until its first heartbeat; the first of the two stays connected."""
    async with stage() as s:
        for _ in range(4):
            dial = Dial(s, "/ws?cluster_uuid=c1")
            await quiet()
            assert dial.accepted is not None
            dial.say(text("heartbeat", {"cluster_id": "c1", "agent_id": "a1"}))
            await quiet()
        refused = await Dial(s, "/ws?cluster_uuid=c1").over()
        assert refused.refusal is not None
        assert refused.refusal[0] == 503
        assert json.loads(refused.refusal[2])["code"] == "agent_twin"
        twin = Dial(s, "/agent")
        await quiet()
        twin.say(text("register", {"agent_id": "a1"}, "r1"))
        await twin.over()
        assert twin.closed is not None
        assert twin.closed[0] == 1013
        assert [link.agent_id for link in s.gateway.registry.links("c1")] == ["a1"]
        dial.leave()
        await dial.over()
        again = Dial(s, "/ws?cluster_uuid=c1")
        await quiet()
        assert again.accepted is not None

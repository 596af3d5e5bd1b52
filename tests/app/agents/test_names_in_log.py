"""How the log names an agent, and its end."""

import pytest

from tests.app.agents.dial import Dial, stage, text
from tests.fakes.loop import dialogue, quiet


@pytest.mark.parametrize(
    ("code", "reason", "end"),
    [
        (1005, None, "the connection was lost without a close"),  # as uvicorn reports one that was just cut
        (1006, "", "the connection was lost without a close"),
        (1005, "", "closed by the agent without a code"),
        (1001, "going away", "closed with 1001 going away"),
    ],
)
@dialogue
async def test_an_agent_is_named_by_its_address_until_it_names_itself(
    code: int, reason: str | None, end: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "gateway.agents")
    async with stage() as s:
        dial = Dial(s, "/ws?cluster_uuid=c1&supports_yamux=true", client=("192.0.2.7", 4711))
        await quiet()
        dial.say(text("gateway_hello_ack", {"use_yamux": True}))
        await quiet()
        dial.leave(code, reason)
        await dial.over()
        lines = [line.partition(": ")[2] for line in caplog.messages]
        assert lines == [
            "agent at 192.0.2.7 serves cluster c1",
            f"agent at 192.0.2.7 of cluster c1 is gone: {end}",
        ]

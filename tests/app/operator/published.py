"""What an agent publishes at a stage, for tests of what operators see of it."""

import time
from typing import Any

from app.published import Holder
from app.settings import Grant, token_hash
from tests.app import publications
from tests.app.stage import Stage
from tests.fakes.link import FakeLink

TOKEN_HASH = token_hash("of-dev")
DEV = Grant(("dev",), hosts=("*.dev.test",))
GRANTS = {TOKEN_HASH: DEV}


def holder(agent: str = "me") -> Holder:
    return Holder("dev", agent, TOKEN_HASH, f"link-of-{agent}", "192.0.2.1")


def publish(s: Stage, *addresses: str, agent: str = "me", **fields: Any) -> list[str]:
    """What became of each of these hosts and paths."""
    return publications.publish(s.gateway, holder(agent), *addresses, **fields)


def lose(s: Stage, agent: str = "me") -> None:
    s.gateway.published.link_gone(holder(agent), time.monotonic())


def link(s: Stage, agent: str = "me") -> FakeLink:
    """A link that carries what the agent has published."""
    made = FakeLink(agent, "dev")
    made.publisher = agent
    s.gateway.registry.add(made)  # type: ignore[arg-type]
    return made

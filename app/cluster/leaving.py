"""How a node that drains gives its agents and its peers' exchanges away: nothing new comes, what runs ends in its time.

1. Each agent is asked to move: ours has a link to another node before it loses this one, and others do not listen.
   Meanwhile all goes on as before, until all have moved, or for `MOVE_SECONDS`.
2. Peers open no streams here any more, and keep no idle ones. What they ask all the same is declined, and nothing of it
   was passed on.
3. Each link takes nothing new, and is closed with 1012 once it carries nothing. Requests for the cluster of an agent
   that has not moved wait for it, as they do for a lost agent.
4. WebSockets of peers, which end only when they are told to, are ended with 1012, spread.

What is left at the deadline is the drain's to end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from tunnel.errors import StoppingError
from tunnel.gateway.link import Link, LinkState
from tunnel.gateway.registry import Registry
from tunnel.slices import let_go

from .owner import Owner
from .peer.serving import Serving
from .peer.session import PeerSession

LOOK_SECONDS: Final = 0.1
MOVE_SECONDS: Final = 2.5
STOPPING: Final = "gateway is stopping"
_ENDS_PER_SECOND: Final = 100
_LINKS_PER_TURN: Final = 50
"""To ask, or to close, one takes up to 0.1 ms."""


class Leaving:
    """See the module. `sessions`: the links that other nodes have dialled."""

    def __init__(
        self, registry: Registry, owner: Owner, serving: Serving, sessions: Callable[[], Collection[PeerSession]]
    ) -> None:
        self._registry = registry
        self._owner = owner
        self._serving = serving
        self._sessions = sessions

    async def run(self, deadline: float) -> None:
        """All of it. Returns once there is no link any more, or at the deadline, of the loop's clock."""
        loop = asyncio.get_running_loop()
        await self._ask_to_move(min(loop.time() + MOVE_SECONDS, (loop.time() + deadline) / 2))
        self._owner.leave()
        for session in self._sessions():
            session.leave()
        async for link in self._links():
            link.retire(max(0.0, deadline - loop.time()), STOPPING)
        await self._end_websockets(deadline)
        while loop.time() < deadline and self._registry.links():
            async for link in self._links():
                if not link.active:
                    link.close(1012, STOPPING)
            await asyncio.sleep(LOOK_SECONDS)

    async def _ask_to_move(self, until: float) -> None:
        """Ask all agents, and wait for those that understand it."""
        loop = asyncio.get_running_loop()
        asked = []
        async for link in self._links():
            if link.carrier is not None and link.carrier.dialect == "yamux":
                link.carrier.ask_to_move()
                asked.append(link.name)
        while asked and loop.time() < until:
            for _ in range(min(_LINKS_PER_TURN, len(asked))):
                if not self._owner.has_moved(asked[-1]):
                    await asyncio.sleep(LOOK_SECONDS)  # nobody tells
                    break
                asked.pop()
            await asyncio.sleep(0)

    async def _links(self) -> AsyncIterator[Link]:
        """Those that there are, some in each turn of the loop: there may be ten thousand."""
        for count, link in enumerate(let_go(self._registry.links()), 1):
            if link.state is not LinkState.CLOSED:
                yield link
            if count % _LINKS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _end_websockets(self, deadline: float) -> None:
        """Spread out, because every client reconnects somewhere as soon as it is told."""
        ends = [
            splice.end for splice in self._serving.running if splice.wanted.upgrade
        ] + self._owner.websockets()  # fmt: skip
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        pause = min(1 / _ENDS_PER_SECOND, left / 2 / max(1, len(ends)))
        for end in ends:
            end(StoppingError("the node stops"))
            await asyncio.sleep(pause)

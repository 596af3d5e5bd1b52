"""Several gateways in one process that ask each other: by a call, where real ones use their peer links."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from app.node.asking import Ask, NotAnsweredError, OtherNode, Query, Reply
from app.operator.api.answers_to_nodes import AnswersToNodes
from app.operator.api.table import RESOURCES
from tests.app.operator.api.calls import stage
from tests.app.stage import Stage
from tests.fakes.link import FakeLink
from tunnel.override import override


class Nodes:
    """The stages by the ids of their nodes; `away`: why a node does not answer."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self.stages = stages
        self.away: dict[str, str] = {}
        self.gone: set[str] = set()
        self.holding: dict[str, list[str]] = {}
        """Cluster -> the nodes with an agent of it, as every node knows it."""
        self.asked: list[tuple[str, Query]] = []
        self.answers = {
            node: AnswersToNodes(RESOURCES, s.app.state.node)  # type: ignore[attr-defined]
            for node, s in stages.items()
        }
        for node, s in stages.items():
            s.gateway.ask = Asks(self, node)

    def name(self, node: str) -> OtherNode:
        return OtherNode(node=node, name=f"gw-{node}")

    def link(self, node: str, name: str, **changes: Any) -> FakeLink:
        link = FakeLink(agent_id=f"agent-{name}", cluster=changes.pop("cluster", "c1"))
        link.name = name
        for key, value in changes.items():
            setattr(link, key, value)
        self.stages[node].gateway.registry.add(link)  # type: ignore[arg-type]
        return link


class Asks(Ask):
    """What one of them asks the others."""

    def __init__(self, nodes: Nodes, own: str) -> None:
        self._nodes = nodes
        self._own = own

    @property
    @override
    def own(self) -> OtherNode:
        return self._nodes.name(self._own)

    @override
    def others(self) -> Sequence[OtherNode]:
        known = self._nodes.stages.keys() - self._nodes.gone - {self._own}
        return [self._nodes.name(node) for node in sorted(known)]

    @override
    def holders(self, cluster: str) -> Sequence[OtherNode]:
        holding = self._nodes.holding.get(cluster, [])
        return [self._nodes.name(node) for node in holding if node != self._own]

    @override
    async def ask(self, node: str, query: Query) -> Reply:
        self._nodes.asked.append((node, query))
        if (why := self._nodes.away.get(node)) is not None:
            raise NotAnsweredError(why)
        return await self._nodes.answers[node](query)


@asynccontextmanager
async def nodes(*names: str, **settings: Any) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes({name: await stack.enter_async_context(stage(**settings)) for name in names or ("a", "b", "c")})

"""Other nodes, as a test says: `Nodes` without a cluster behind it."""

from dataclasses import dataclass, field

from app.node.nodes import BucketView, ClusterView, EngineView, NodeView, alone
from app.observed.metrics import NodesSnapshot

ENGINE = EngineView(
    state="connected", since="2026-01-01T00:00:00.000Z", server="nats://127.0.0.1:4222", why=None, losses=1,
    forbidden=[],
)  # fmt: skip


def other(node: str, state: str = "live") -> NodeView:
    base = alone(build="1.0", started_at="2026-01-01T00:00:00.000Z", links=1, exchanges=2, websockets=0, draining=False)
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return NodeView(**{**fields, "node": node, "name": "gateway", "is_self": state == "connected", "state": state})


@dataclass
class SomeNodes:
    """The first is the one that is asked."""

    known: list[NodeView] = field(default_factory=lambda: [other("me", "connected")])
    trouble: str | None = None
    told: list[str] = field(default_factory=list)
    revision: int = 1

    def cluster(self) -> ClusterView:
        bucket = BucketView(
            bucket="tunnel_nodes", entries=2, revision=self.revision, lag=0, synced=True, frozen=False, problem=None
        )
        return ClusterView(node="me", state="connected", about="well", engine=ENGINE, buckets=[bucket])

    def nodes(self) -> list[NodeView]:
        return self.known

    def snapshot(self) -> NodesSnapshot:
        return NodesSnapshot(state="connected", is_connected=True)

    def warnings(self) -> list[str]:
        return self.told

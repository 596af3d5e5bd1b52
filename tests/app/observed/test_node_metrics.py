"""The metrics of other nodes: none without `[cluster]`, all states and answers with it, and no label of a stranger."""

from app.observed.metrics import BucketSnapshot, HopEnd, Metrics, NodesSnapshot, Snapshot, WriteEnd
from app.observed.metrics.nodes import nodes_families
from tests.app.observed.counted import Told, samples

NAMES = {family.name for family in nodes_families(None)}


def of_nodes(state: NodesSnapshot | None) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    metrics.watch(Told(Snapshot(nodes=state)))
    return {key: value for key, value in samples(metrics).items() if key[0].removesuffix("_total") in NAMES}


def test_one_node_has_no_samples_of_others():
    assert of_nodes(None) == {}


def test_a_node_that_knows_nobody_has_zeros():
    found = of_nodes(NodesSnapshot("cut", is_connected=False))
    assert found["gateway_node_state", "cut"] == 1
    assert found["gateway_node_state", "connected"] == 0
    assert found["gateway_nodes", "live"] == found["gateway_peer_links", "up"] == 0
    assert found["gateway_hops_total", "not_here"] == found["gateway_nats_connected",] == 0


def test_what_is_counted():
    found = of_nodes(
        NodesSnapshot(
            "connected", is_connected=True, losses=2, freezes=1, nodes={"live": 2, "invented": 9}, links_out={"up": 1},
            links_in=3, files_differ=1, exchanges_out=11, hops_out={HopEnd.THROUGH: 7}, hops_in={HopEnd.BUSY: 4},
            bytes_to_agents=10, bytes_from_agents=20,
            buckets={"links": BucketSnapshot(5, 6, synced=True, writes=8, failed={WriteEnd.UNCERTAIN: 1})},
        )
    )  # fmt: skip
    assert {key for key in found if "invented" in key} == set()
    assert found["gateway_nats_losses_total",] == 2
    assert found["gateway_node_freezes_total",] == 1
    assert found["gateway_nodes", "live"] == 2
    assert (found["gateway_peer_links", "up"], found["gateway_peer_links_in",]) == (1, 3)
    assert found["gateway_nodes_files_differ",] == 1
    assert found["gateway_hop_exchanges_total",] == 11
    assert (found["gateway_hops_total", "through"], found["gateway_hops_served_total", "busy"]) == (7, 4)
    assert (found["gateway_hop_bytes_total", "to_agents"], found["gateway_hop_bytes_total", "from_agents"]) == (10, 20)
    assert (found["gateway_bucket_revision", "links"], found["gateway_bucket_lag", "links"]) == (5, 6)
    writes = {key[2]: value for key, value in found.items() if key[0] == "gateway_bucket_writes_total"}
    assert writes == {"ok": 8, "conflict": 0, "away": 0, "uncertain": 1}

"""What the capacity page computes: it says what the code says, and the code is right where it can be told by hand."""

from dataclasses import fields
from pathlib import Path

import pytest

from tests.bench.nodes.capacity import LOADS, Costs, Load, markdown, node, table

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


@pytest.mark.parametrize("title", LOADS)
def test_the_page_has_the_tables_of_the_code(title: str):
    text = PAGE.read_text(encoding="utf-8")
    assert f"**{title}**" in text
    assert markdown(table(title, LOADS[title])) in text


def test_the_page_has_every_unit_cost_with_its_value():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    values = {line.split("`")[1]: line.split("|")[2].strip() for line in rows}
    assert values == {field.name: f"{field.default:g}" for field in fields(Costs)}


COSTS = Costs(
    websocket_kib=2.0, owner_websocket_kib=1.0, idle_websocket_us=1.0, message_us=8.0, owner_message_us=4.0,
    busy_message_us=2.0, busy_owner_message_us=1.0, link_kib=34.0, claim_bytes=1_024.0,
)  # fmt: skip


def test_two_nodes_share_everything():
    one = node(2, Load(clusters=100, agents_each=1, websockets=1_000, messages_per_second=0), COSTS)
    assert (one.far, one.websockets) == (0.5, 500)
    assert one.memory_mib == pytest.approx((500 * 2.5 + 100 + 50 * 34) / 1024)
    assert one.nats_messages == 8


def test_no_hop_where_each_agent_has_a_link_to_each_node():
    assert node(4, Load(links_each=4)).far == node(2, Load(links_each=4)).far == 0


def test_a_message_costs_the_owner_only_over_a_hop():
    load = Load(websockets=1_000_000, messages_per_second=1, links_each=2)
    assert node(2, load, COSTS).cores == pytest.approx(0.5 * (1 + 8))
    assert node(4, load, COSTS).cores == pytest.approx(0.25 * (1 + 8 + 0.5 * 4))
    assert node(4, load, COSTS).busy_cores == pytest.approx(0.25 * (1 + 2 + 0.5 * 1))

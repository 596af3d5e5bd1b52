"""`links`: the agents' links to a running gateway."""

import click

from .client import client, limited, of_nodes
from .command import Command
from .gateway import RunningGateway
from .lists import show
from .several_nodes import nodes_asked
from .tables import Column, Row, seconds, size

_MEANING = {"ready": "good", "doubted": "bad", "leaving": "doubtful", "joining": "doubtful"}


def _meaning(row: Row) -> str | None:
    return _MEANING.get(str(row.get("state")))


COLUMNS = (
    Column("link"),
    Column("cluster", is_cut=True),
    Column("agent", is_cut=True),
    Column("state", meaning=_meaning),
    Column("address", is_cut=True),
    Column("age", lambda row: seconds(row.get("age_seconds")), is_number=True),
    Column("round trip", lambda row: seconds(row.get("round_trip_seconds")), is_number=True),
    Column("streams", is_number=True),
    Column("stalled", lambda row: row.get("stalled_streams"), is_number=True, is_optional=True),
    Column("waiting", lambda row: size(row.get("bytes_waiting")), is_number=True, is_optional=True),
    Column("dialect", is_optional=True),
    Column("publishes", lambda row: "yes" if row.get("publisher") else "no", is_optional=True),
    Column("version", is_cut=True, is_optional=True),
)


@click.command("links", cls=Command)
@click.option("--cluster", metavar="NAME", help="only links of this cluster")
@click.option("--agent", metavar="ID", help="only links of this agent")
@click.option("--state", metavar="STATE", help="only links in this state: joining, ready, doubted or leaving")
@of_nodes
@limited
@client
def command(
    gateway: RunningGateway,
    cluster: str | None,
    agent: str | None,
    state: str | None,
    nodes: str | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the agents' links, the oldest first."""
    query = {"cluster": cluster, "agent": agent, "state": state, **nodes_asked(gateway, nodes)}
    show(gateway, "links", COLUMNS, query, limit=limit, as_json=as_json)

"""`clusters`: the clusters that a running gateway knows, and why one is not connected."""

import click

from .client import client, limited, of_nodes
from .command import Command
from .gateway import RunningGateway
from .lists import show
from .several_nodes import nodes_asked
from .tables import Column, Row, yes_or_no


def _meaning(row: Row) -> str:
    return "good" if row.get("connected") else "bad"


COLUMNS = (
    Column("cluster", is_cut=True),
    Column("connected", lambda row: yes_or_no(row.get("connected")), meaning=_meaning),
    Column("links", is_number=True),
    Column("routes", is_number=True),
    Column("waiting", lambda row: row.get("requests_waiting"), is_number=True, is_optional=True),
    Column("token", lambda row: yes_or_no(row.get("has_token")), is_optional=True),
    Column("last seen", lambda row: row.get("last_seen"), is_optional=True),
    Column("why not", lambda row: row.get("why_not"), is_cut=True),
)


@click.command("clusters", cls=Command)
@click.option("--connected/--not-connected", default=None, help="only clusters that are connected, or that are not")
@of_nodes
@limited
@client
def command(
    gateway: RunningGateway, connected: bool | None, nodes: str | None, limit: int | None, *, as_json: bool
) -> None:
    """Show the clusters by name, with the reason where one is not connected."""
    show(
        gateway,
        "clusters",
        COLUMNS,
        {"connected": connected, **nodes_asked(gateway, nodes)},
        limit=limit,
        as_json=as_json,
    )

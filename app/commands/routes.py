"""`routes`: the routes of a running gateway, those that lead nowhere with the reason, and those it refused."""

import click

from . import terminal
from .client import client, limited
from .command import Command
from .gateway import RunningGateway
from .lists import rows_of, show
from .tables import Column, Row, table, yes_or_no


def _meaning(row: Row) -> str | None:
    if row.get("reason") is not None or not row.get("in_force"):
        return "bad"
    return "good" if row.get("connected") else "doubtful"


COLUMNS = (
    Column("host", is_cut=True),
    Column("path", is_cut=True),
    Column("cluster", is_cut=True),
    Column("target", is_cut=True),
    Column("in force", lambda row: yes_or_no(row.get("in_force")), meaning=_meaning),
    Column("connected", lambda row: yes_or_no(row.get("connected"))),
    Column("origin", is_optional=True),
    Column("publisher", is_optional=True),
    Column("expires", lambda row: row.get("expires_at"), is_optional=True),
    Column("explanation", lambda row: row.get("explanation") or row.get("reason"), is_cut=True),
)
REFUSED = (
    Column("refused", lambda row: row.get("route"), is_cut=True),
    Column("cluster", is_cut=True),
    Column("code"),
    Column("at", lambda row: row.get("refused_at"), is_optional=True),
    Column("reason", is_cut=True),
)


@click.command("routes", cls=Command)
@click.option("--host", metavar="HOST", help="only routes that may serve this host, by wildcards too")
@click.option("--cluster", metavar="NAME", help="only routes to this cluster")
@click.option("--origin", metavar="ORIGIN", help="only routes of the file, or of agents: file, learned or published")
@click.option("--publisher", metavar="AGENT", help="only routes that this agent publishes")
@click.option(
    "--in-force/--not-in-force", "in_force", default=None, help="only routes that are served, or that are not"
)
@click.option(
    "--nodes", metavar="all|NODE", help="of all nodes, or of the one with this id or name (default: that is asked)"
)
@limited
@client
def command(
    gateway: RunningGateway,
    host: str | None,
    cluster: str | None,
    origin: str | None,
    publisher: str | None,
    in_force: bool | None,
    nodes: str | None,
    limit: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the routes, with the reason where one leads nowhere."""
    query = {"host": host, "cluster": cluster, "origin": origin, "publisher": publisher, "in_force": in_force}
    if nodes is not None:  # else one node is enough: what agents register is on all of them, and so should be the file
        query["nodes"] = nodes
    page = show(gateway, "routes", COLUMNS, query, limit=limit, as_json=as_json)
    if not as_json and page.get("refused"):
        terminal.put("")
        for line in table(REFUSED, rows_of(gateway, page, "refused"), terminal.width()):
            terminal.put(line)

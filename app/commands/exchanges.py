"""`exchanges`: the requests and WebSockets that run now on a gateway. And the end of one."""

import click

from . import terminal
from .client import client, limited, of_nodes
from .command import Command
from .gateway import RunningGateway, path_to
from .lists import show, watch
from .several_nodes import nodes_asked
from .tables import Column, Row, seconds, size


def _meaning(row: Row) -> str | None:
    return "bad" if row.get("stalled_by") is not None else None


COLUMNS = (
    Column("id"),
    Column("kind", is_optional=True),
    Column("method", is_optional=True),
    Column("host", is_cut=True),
    Column("path", is_cut=True),
    Column("client", is_cut=True),
    Column("cluster", is_cut=True),
    Column("link", is_optional=True),
    Column("status", is_number=True),
    Column("state", is_cut=True, is_optional=True),
    Column("age", lambda row: seconds(row.get("age_seconds")), is_number=True),
    Column("up", lambda row: size(row.get("bytes_up")), is_number=True, is_optional=True),
    Column("down", lambda row: size(row.get("bytes_down")), is_number=True, is_optional=True),
    Column("held", lambda row: size(row.get("held_bytes")), is_number=True, is_optional=True),
    Column("stalled by", lambda row: row.get("stalled_by"), is_optional=True, meaning=_meaning),
)


@click.command("exchanges", cls=Command, short_help="Show the requests and WebSockets that run now; or end one.")
@click.option("--follow", "follows", is_flag=True, help="show them again whenever they change, until Ctrl-C")
@click.option(
    "--end",
    metavar="ID",
    help="end the exchange with this id: a WebSocket with 1012, a request at once; on another node: with --nodes NODE",
)
@click.option("--kind", metavar="KIND", help="only exchanges of this kind: http or websocket")
@click.option("--cluster", metavar="NAME", help="only those to this cluster")
@click.option("--host", metavar="HOST", help="only those for this host")
@click.option("--client", "address", metavar="ADDRESS", help="only those of the client with this address")
@click.option("--link", metavar="LINK", help="only those on this link")
@click.option("--request-id", metavar="ID", help="only those with this request id")
@of_nodes
@limited
@client
def command(
    gateway: RunningGateway,
    end: str | None,
    address: str | None,
    nodes: str | None,
    limit: int | None,
    *,
    follows: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Show the requests and WebSockets that run now, the oldest first; or end one."""
    if end is not None:
        if follows:
            raise click.UsageError("--end and --follow exclude each other", click.get_current_context())
        _end(gateway, end, nodes, as_json=as_json)
        return
    (watch if follows else show)(
        gateway,
        "exchanges",
        COLUMNS,
        {**filters, "client": address, **nodes_asked(gateway, nodes)},
        limit=limit,
        as_json=as_json,
    )


def _end(gateway: RunningGateway, identity: str, node: str | None, *, as_json: bool) -> None:
    answer = gateway.ask("DELETE", path_to("exchanges", identity), {"node": node})
    if as_json:
        terminal.print_json(answer)
    else:
        click.echo(terminal.escaped(f"{answer.get('id')}: {answer.get('message')}"))

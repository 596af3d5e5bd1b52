"""`nodes`: the nodes of a gateway, as one of them knows them, and what is between them."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from . import terminal
from .client import client, limited
from .command import Command
from .gateway import Json, RunningGateway
from .lists import show, watch
from .tables import Column, Row, seconds, wrapped, yes_or_no

_MEANING = {
    "alone": "good", "connected": "good", "cut": "bad", "frozen": "bad",
    "live": "good", "silent": "doubtful", "lost_way": "bad", "draining": "doubtful", "gone": "bad",
}  # fmt: skip
_LINKS = {"up": "good", "dialling": "doubtful", "lost": "bad", "refused": "bad"}


def _name(row: Row) -> str | None:
    name = row.get("name")
    return f"{name or 'this node'} (asked)" if row.get("is_self") else name


def _link(row: Row) -> str | None:
    out, problem = row.get("link_out"), row.get("link_out_problem")
    if not problem or not out:
        return out
    return str(problem) if str(problem).startswith(out) else f"{out}: {problem}"


def _files(row: Row) -> str | None:
    return "differ" if row.get("files_differ") else row.get("files")


COLUMNS = (
    Column("node"),
    Column("name", _name, is_cut=True),
    Column("state", meaning=lambda row: _MEANING.get(str(row.get("state")))),
    Column("heard", lambda row: seconds(row.get("heard_seconds_ago")), is_number=True),
    Column("link to it", _link, is_cut=True, meaning=lambda row: _LINKS.get(str(row.get("link_out")))),
    Column("from it", lambda row: None if row.get("is_self") else yes_or_no(row.get("link_in")), is_optional=True),
    Column("links", is_number=True),
    Column("exchanges", is_number=True),
    Column("websockets", is_number=True),
    Column("address", lambda row: row.get("peer_url"), is_cut=True, is_optional=True),
    Column("build", is_cut=True, is_optional=True),
    Column("files", _files, is_optional=True, meaning=lambda row: "bad" if row.get("files_differ") else None),
)


@click.command("nodes", cls=Command, short_help="Show the nodes, as the one that is asked knows them.")
@click.option("--follow", "follows", is_flag=True, help="show them again whenever they change, until Ctrl-C")
@click.option(
    "--state",
    metavar="STATE",
    help="only nodes in this state: connected, cut or frozen (the one that is asked), live, silent, lost_way, "
    "draining or gone",
)
@limited
@client
def command(gateway: RunningGateway, state: str | None, limit: int | None, *, follows: bool, as_json: bool) -> None:
    """Show the nodes, as the one that is asked knows them, and how far it knows of them."""
    (watch if follows else show)(
        gateway, "nodes", COLUMNS, {"state": state}, limit=limit, as_json=as_json, above=_above
    )


def _above(page: Json) -> Sequence[str]:
    cluster = page.get("cluster")
    if cluster is None:
        return []
    width = terminal.width()
    return [line for text in _about(cluster) for line in wrapped(terminal.escaped(text), width)]


def _about(cluster: dict[str, Any]) -> Iterator[str]:
    """What is between the nodes, a line each. Of buckets that are as they should be, only where they are."""
    engine = cluster["engine"]
    server = f" to {engine['server']}" if engine["server"] is not None else ""
    why = f": {engine['why']}" if engine["why"] is not None else ""
    yield f"NATS {engine['state']}{server} since {engine['since']}{why}; connections lost: {engine['losses']}"
    if cluster["state"] != "connected":
        yield cluster["about"]
    for what in engine["forbidden"]:
        yield f"NATS does not allow: {what}"
    for bucket in cluster["buckets"]:
        told = bucket["problem"] or ("complete" if bucket["synced"] else "incomplete")
        frozen = ", frozen" if bucket["frozen"] else ""
        yield f"bucket {bucket['bucket']}: entries: {bucket['entries']}, revision {bucket['revision']}, {told}{frozen}"

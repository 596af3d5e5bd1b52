"""`explain`: what becomes of a request for a URL, and why."""

import json
from collections.abc import Iterator
from typing import Any

import click

from . import terminal
from .client import client
from .command import Command
from .gateway import RunningGateway
from .lists import rows_of
from .statuses import Status
from .tables import Column, pairs, seconds, table, wrapped

_SECONDS = 60.0
"""A probe takes up to 30 s."""
_CANDIDATES = (
    Column("other routes", lambda row: f"{row.get('host')}{row.get('path')}", is_cut=True),
    Column("target", is_cut=True),
    Column("cluster", is_cut=True),
    Column("explanation", lambda row: row.get("explanation") or row.get("reason"), is_cut=True),
)
_HOPS = (
    Column("hop"),
    Column("time", lambda row: seconds(row.get("seconds")), is_number=True),
    Column("", lambda row: row.get("text"), is_cut=True),
)


@click.command("explain", cls=Command, short_help="Say what becomes of a request for a URL, and why.")
@click.argument("address", metavar="URL")
@click.option("--method", metavar="METHOD", help="of the request (default: GET; of a ws URL: a WebSocket)")
@click.option("--origin", metavar="ORIGIN", help="of the page that opens a WebSocket (default: none, as a program)")
@click.option("--no-probe", is_flag=True, help="send nothing through the tunnel")
@client
def command(
    gateway: RunningGateway, address: str, method: str | None, origin: str | None, *, no_probe: bool, as_json: bool
) -> int:
    """Say what becomes of a request for URL, and why; then send one, unless --no-probe is given.

    URL is what clients ask for: https://host[:port]/path, or ws:// and wss:// for a WebSocket. Exit status 0: it works.
    """
    query = {"url": address, "method": method, "origin": origin, "probe": False if no_probe else None}
    told = gateway.ask("GET", "/-/explain", query, seconds=_SECONDS)
    works = told.get("code") == "ok"
    if as_json:
        terminal.print_json(told)
    else:
        try:
            lines = list(_lines(gateway, told, works=works))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
            raise gateway.not_a_gateway() from None
        for line in lines:
            terminal.put(line)
    return Status.DONE if works else Status.FAILED


def _lines(gateway: RunningGateway, told: dict[str, Any], *, works: bool) -> Iterator[str]:
    width = terminal.width()
    yield terminal.coloured(terminal.escaped(f"{told['method']} {told['url']}"), "heading")
    outcome = " ".join(_plain(part) for part in (told["status"], told["code"]) if part is not None)
    reason = f" ({told['reason']})" if told["reason"] else ""
    for line in wrapped(terminal.escaped(f"{outcome}{reason}: {told['verdict']}"), width):
        yield terminal.coloured(line, "good" if works else "bad")
    if told["hint"]:
        yield from wrapped(terminal.escaped(f"next: {told['hint']}"), width)
    described = dict(_described(told))
    if described:
        yield ""
        yield from pairs(described, width)
    if told["candidates"]:
        yield ""
        yield from table(_CANDIDATES, rows_of(gateway, told, "candidates"), width)
    if told["probe"] is not None:
        yield ""
        yield from table(_HOPS, rows_of(gateway, told["probe"], "hops"), width)


def _described(told: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The parts that there are, in words."""
    route, cluster, link, probe = told["route"], told["cluster"], told["link"], told["probe"]
    if route is not None:
        why = f"; {route['explanation'] or route['reason']}" if route["reason"] else ""
        yield "route", f"{route['host']}{route['path']} -> {route['target']} ({route['origin']}){why}"
    if told["policy"] is not None:
        yield "policy", ", ".join(f"{key} {_plain(value)}" for key, value in told["policy"].items() if _says(value))
    if cluster is not None:
        connected = f"connected (links: {cluster['links']})" if cluster["connected"] else "not connected"
        why = f": {cluster['why_not']}" if cluster["why_not"] else ""
        yield "cluster", f"{cluster['cluster']}, {connected}{why}"
    if link is not None:
        yield (
            "link",
            (
                f"{link['link']} of agent {link['agent'] or '-'} {link['version'] or ''} at {link['address'] or '-'}, "
                f"{link['dialect'] or 'no dialect yet'}, {link['state']}"
            ),
        )
    if (node := told.get("node")) is not None:
        yield "node", f"{node}, whose agent carries it"
    if probe is not None:
        detail = f": {probe['detail']}" if probe["detail"] else ""
        sent = "" if probe["sent"] else ", nothing was sent to an agent"
        yield "probe", f"{probe['outcome']}{detail}{sent}; request id {probe['request_id']}"


def _plain(value: object) -> str:
    """A value in words: a text as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _says(value: object) -> bool:
    """Whether a key of the policy is worth showing."""
    return value not in (None, [], {}, "", {"set": [], "remove": []})

"""`events`: what happened lately on a running gateway, and what happens."""

import click

from . import terminal
from .client import client, of_nodes
from .command import Command
from .following import follow
from .gateway import Query, RunningGateway
from .lists import rows_of
from .several_nodes import Names, nodes_asked, not_answered
from .tables import Row, wrapped
from .values import LIMIT

_MEANING = {"warning": "doubtful", "error": "bad"}
_LEAST_TEXT = 30


@click.command("events", cls=Command, short_help="Show what happened lately, and what happens.")
@click.option("--follow", "follows", is_flag=True, help="then print each event as it happens, until Ctrl-C")
@click.option("--kind", metavar="KIND", help="only events of this kind, such as link_refused")
@click.option("--cluster", metavar="NAME", help="only events about this cluster")
@click.option("--level", metavar="LEVEL", help="only events of this level: info, warning or error")
@click.option(
    "--after",
    metavar="NUMBER",
    help="only events with a higher number: one of the node that is asked, or NODE:NUMBER,... of several",
)
@click.option(
    "--limit", type=LIMIT, metavar="NUMBER", help="only the latest so many (default: all that the gateway remembers)"
)
@of_nodes
@client
def command(
    gateway: RunningGateway,
    nodes: str | None,
    limit: int | None,
    *,
    follows: bool,
    as_json: bool,
    **filters: str | None,
) -> None:
    """Show what happened lately: links, refused agents, reloads, limits. The oldest first."""
    if follows:
        if limit is not None:
            raise click.UsageError("--limit and --follow exclude each other", click.get_current_context())
        _follow(gateway, _query(gateway, nodes, filters), as_json=as_json)
    page = gateway.pages("events", _query(gateway, nodes, filters))
    rows = rows_of(gateway, page, "events")[-limit:] if limit is not None else rows_of(gateway, page, "events")
    if as_json:
        terminal.print_json({**page, "events": rows})
        return
    names = Names(gateway)
    for row in rows:
        _print(row, names)
    if not rows:
        terminal.put("no events")
    for line in not_answered(page):
        terminal.put(terminal.coloured(terminal.escaped(line), "bad"))


def _query(gateway: RunningGateway, nodes: str | None, filters: Query) -> Query:
    """What is asked. A plain number in `--after` is one of the node that is asked, so that one answers alone."""
    after = filters["after"]
    is_of_one = after is not None and ":" not in str(after)
    return {**filters, **({"nodes": nodes} if is_of_one else nodes_asked(gateway, nodes))}


def _follow(gateway: RunningGateway, filters: Query, *, as_json: bool) -> None:
    """Print each event. Ends with an error only."""
    names = Names(gateway)
    for event in follow(gateway, "/-/events", filters):
        row = gateway.read(event.data)
        if as_json:
            terminal.print_json(row, in_one_line=True)
        else:
            _print(row, names)


def _print(row: Row, names: Names) -> None:
    """Time, node where there are several, level, kind and message; a message that is long goes on below itself."""
    level = terminal.escaped(str(row.get("level")))
    kind = terminal.escaped(str(row.get("kind")))
    at = terminal.escaped(str(row.get("at")))
    if (node := row.get("node")) is not None:
        at = f"{at}  {terminal.escaped(names.of(str(node)))}"
    before = len(at) + 2 + max(7, len(level)) + 2 + len(kind) + 2
    message = str(row.get("message"))
    if (link := row.get("link")) and str(link) not in message:
        message = f"{link}: {message}"
    width = terminal.width()
    room = None if width is None else max(_LEAST_TEXT, width - before)
    first, *others = wrapped(terminal.escaped(message), room)
    terminal.put(f"{at}  {terminal.coloured(level.ljust(7), _MEANING.get(level))}  {kind}  {first}")
    for other in others:
        terminal.put(" " * before + other)

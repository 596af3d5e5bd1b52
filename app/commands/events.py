"""`events`: what happened lately on a running gateway, and what happens."""

import click

from . import terminal
from .client import client
from .command import Command
from .following import follow
from .gateway import Query, RunningGateway
from .lists import rows_of
from .tables import Row, wrapped
from .values import LIMIT

_MEANING = {"warning": "doubtful", "error": "bad"}
_LEAST_TEXT = 30


@click.command("events", cls=Command, short_help="Show what happened lately, and what happens.")
@click.option("--follow", "follows", is_flag=True, help="then print each event as it happens, until Ctrl-C")
@click.option("--kind", metavar="KIND", help="only events of this kind, such as link_refused")
@click.option("--cluster", metavar="NAME", help="only events about this cluster")
@click.option("--level", metavar="LEVEL", help="only events of this level: info, warning or error")
@click.option("--after", metavar="NUMBER", help="only events with a higher number")
@click.option(
    "--limit", type=LIMIT, metavar="NUMBER", help="only the latest so many (default: all that the gateway remembers)"
)
@client
def command(gateway: RunningGateway, limit: int | None, *, follows: bool, as_json: bool, **filters: str | None) -> None:
    """Show what happened lately: links, refused agents, reloads, limits. The oldest first."""
    if follows:
        if limit is not None:
            raise click.UsageError("--limit and --follow exclude each other", click.get_current_context())
        _follow(gateway, filters, as_json=as_json)
    page = gateway.pages("events", filters)
    rows = rows_of(gateway, page, "events")[-limit:] if limit is not None else rows_of(gateway, page, "events")
    if as_json:
        terminal.print_json({**page, "events": rows})
        return
    for row in rows:
        _print(row)
    if not rows:
        terminal.put("no events")


def _follow(gateway: RunningGateway, filters: Query, *, as_json: bool) -> None:
    """Print each event. Ends with an error only."""
    for event in follow(gateway, "/-/events", filters):
        row = gateway.read(event.data)
        if as_json:
            terminal.print_json(row, in_one_line=True)
        else:
            _print(row)


def _print(row: Row) -> None:
    """Time, level, kind and message; what of the message does not fit goes on below itself."""
    level = terminal.escaped(str(row.get("level")))
    kind = terminal.escaped(str(row.get("kind")))
    at = terminal.escaped(str(row.get("at")))
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

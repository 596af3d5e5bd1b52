"""`show` and `watch`: a list of the API, once or as it changes, as a table or as JSON."""

from collections.abc import Callable, Mapping, Sequence

from . import terminal
from .following import follow
from .gateway import Json, Query, RunningGateway
from .several_nodes import not_answered, with_nodes
from .tables import Column, Row, table

Above = Callable[[Json], Sequence[str]]
"""What a page says besides its rows: lines above the table."""


def show(
    gateway: RunningGateway,
    resource: str,
    columns: Sequence[Column],
    query: Query,
    *,
    limit: int | None,
    as_json: bool,
    above: Above | None = None,
) -> Json:
    """Print the list, and return it as if it came on one page. Raises CommandError."""
    page = gateway.pages(resource, query, limit)
    if as_json:
        terminal.print_json(page)
    else:
        for line in _lines(gateway, resource, columns, page, above):
            terminal.put(line)
    return page


def watch(
    gateway: RunningGateway,
    resource: str,
    columns: Sequence[Column],
    query: Query,
    *,
    limit: int | None,
    as_json: bool,
    above: Above | None = None,
) -> None:
    """Print the list, and again when it has changed; on a terminal in the same place. Ends with an error only."""
    for event in follow(gateway, f"/-/{resource}", {**query, "limit": limit}):
        page = gateway.read(event.data)
        if as_json:
            terminal.print_json(page, in_one_line=True)
            continue
        lines = _lines(gateway, resource, columns, page, above)
        if terminal.may_be_cleared():
            terminal.put(terminal.CLEAR + "\n".join(lines[: terminal.height() - 1]))
        else:
            terminal.put("\n".join([*lines, ""]))


def rows_of(gateway: RunningGateway, page: Mapping[str, object], resource: str) -> list[Row]:
    """The rows of a page. Raises UnreachableError."""
    rows = page.get(resource)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise gateway.not_a_gateway()
    return rows


def _lines(
    gateway: RunningGateway, resource: str, columns: Sequence[Column], page: Json, above: Above | None
) -> list[str]:
    rows, total = rows_of(gateway, page, resource), page.get("total")
    try:
        lines = list(above(page)) if above is not None else []
        missing: list[str] = []
        if resource != "nodes":  # whose rows are nodes themselves
            columns, rows = with_nodes(columns, page, rows)
            missing = [terminal.coloured(terminal.escaped(line), "bad") for line in not_answered(page)]
        if not rows:
            return [*lines, *missing, f"no {resource}" if not total else f"none of {total} {resource}"]
        lines += table(columns, rows, terminal.width())
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise gateway.not_a_gateway() from None
    if terminal.is_terminal() and page.get("next") is not None:
        lines.append(f"{len(rows)} of {total} {resource}")
    return lines + missing

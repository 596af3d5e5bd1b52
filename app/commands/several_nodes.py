"""What commands ask of a gateway that may be several nodes, and how they show whose a row is.

A gateway that is one node is asked, and shown, as if there were no others.
"""

from collections.abc import Sequence
from typing import Any

from .gateway import Json, Query, RunningGateway
from .statuses import CommandError, Status
from .tables import Column, Row


def nodes_asked(gateway: RunningGateway, nodes: str | None) -> Query:
    """The parameter for a list: what `--nodes` says, else all nodes where there are several. Raises CommandError."""
    if nodes is not None:
        return {"nodes": nodes}
    try:
        status = gateway.ask("GET", "/-/status")
    except CommandError as error:
        if error.status is Status.FAILED:
            return {}  # what is wrong is told by the call itself
        raise
    return {"nodes": "all"} if status.get("node") is not None else {}


def with_nodes(columns: Sequence[Column], page: Json, rows: Sequence[Row]) -> tuple[Sequence[Column], list[Row]]:
    """The columns with one for the nodes, and the rows with names for their ids; as they are, if it is one node."""
    told = page.get("nodes")
    if not isinstance(told, list) or not rows:
        return columns, list(rows)
    names = names_of(told)
    shown: list[Row]
    if "nodes" in rows[0]:
        shown = [{**row, "nodes": ", ".join(names.get(node, node) for node in row["nodes"]) or None} for row in rows]
        return (*columns[:2], Column("nodes", is_cut=True), *columns[2:]), shown
    shown = [{**row, "node": names.get(str(row.get("node")), row.get("node"))} for row in rows]
    return (Column("node", is_cut=True), *columns), shown


def names_of(told: Sequence[Any]) -> dict[str, str]:
    """The names of nodes by their ids, with the id where several have the same."""
    pairs = [(str(one["node"]), str(one.get("name") or one["node"])) for one in told if isinstance(one, dict)]
    names = [name for _, name in pairs]
    return {node: name if names.count(name) == 1 else f"{name} ({node})" for node, name in pairs}


def not_answered(page: Json) -> list[str]:
    """A line for each node whose part is missing."""
    told = page.get("nodes")
    if not isinstance(told, list):
        return []
    names = names_of(told)
    return [
        f"node {names[str(one['node'])]} is missing: {one.get('why')}"
        for one in told
        if isinstance(one, dict) and one.get("answered") is False
    ]


class Names:
    """The names of nodes, asked for when an id comes up that is not known."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._known: dict[str, str] = {}

    def of(self, node: str) -> str:
        """The name of a node; its id, if it has none."""
        if node not in self._known:
            try:
                told = self._gateway.pages("nodes", {})["nodes"]
            except CommandError:
                return node
            self._known = {node: node, **self._known, **names_of(told)}
        return self._known[node]

"""`status`: a running gateway at a glance."""

from typing import Any

import click

from . import terminal
from .client import client
from .command import Command
from .gateway import RunningGateway
from .tables import pairs, seconds, size, wrapped


@click.command("status", cls=Command)
@client
def command(gateway: RunningGateway, *, as_json: bool) -> None:
    """Show a running gateway at a glance, and what to look at."""
    status = gateway.ask("GET", "/-/status")
    if as_json:
        terminal.print_json(status)
        return
    try:
        lines = pairs(_described(status), terminal.width())
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise gateway.not_a_gateway() from None
    for line in lines:
        terminal.put(line)
    for warning in status.get("warnings", ()):
        for line in wrapped(terminal.escaped(f"warning: {warning}"), terminal.width()):
            terminal.put(terminal.coloured(line, "doubtful"))


def _described(status: dict[str, Any]) -> dict[str, str]:
    """What it says, in words."""
    configuration, counts, account = status["configuration"], status["counts"], status["account"]
    hit = {limit: count for limit, count in account["limits_hit"].items() if count}
    return {
        "gateway": f"{status['version']}, Python {status['python']}, up for {seconds(status['uptime_seconds'])} "
        f"(since {status['started_at']})",
        "state": _state(status),
        **_nodes(status.get("node")),
        "configuration": f"{configuration['file'] or 'environment'}, read {configuration['loaded_at']}; "
        f"reloads: {configuration['reloads']}, refused: {configuration['reloads_refused']}",
        "clusters": f"{counts['clusters_connected']} of {counts['clusters']} connected (links: {counts['links']})",
        "routes": f"{counts['routes']}",
        "exchanges": f"{counts['exchanges']}, {counts['websockets']} of them WebSockets; "
        f"{counts['requests_waiting']} requests wait for an agent",
        "connections": f"{counts['connections']} of {account['connections_limit'] or 'any number'}",
        "held": f"{size(account['held_bytes'])} of {size(account['hard_mark_bytes'])} ({account['state']}), "
        f"spooled {size(account['spooled_bytes'])} of {size(account['spool_limit_bytes'])}",
        "limits hit": ", ".join(f"{limit} {count}" for limit, count in hit.items()) or "none",
    }


def _nodes(node: dict[str, Any] | None) -> dict[str, str]:
    """Of a node among others. An older gateway does not say it."""
    if node is None:
        return {}
    return {"node": f"{node['node']}, {node['state']}; NATS: {node['nats']}; nodes known: {node['nodes']}"}


def _state(status: dict[str, Any]) -> str:
    if status["closing"]:
        return "closing"
    if status["draining"]:
        return "draining"
    return "ready" if status["ready"] else "not ready: a cluster is missing, see GET /readyz"

"""`drain`: a running gateway, or one link of it, takes nothing new, and what runs may end."""

import click

from . import terminal
from .client import client
from .command import Command
from .gateway import ANSWER_SECONDS, RunningGateway, path_to, told
from .statuses import CommandError, Status
from .values import SECONDS


@click.command("drain", cls=Command)
@click.option("--wait", type=SECONDS, metavar="SECONDS", help="return when the gateway is drained, or after this time")
@click.option("--link", metavar="LINK", help="drain this link only, such as link-7; its agent dials again")
@click.option(
    "--grace", type=SECONDS, metavar="SECONDS",
    help="with --link: how long its exchanges may go on (default: the setting shutdown_grace)",
)  # fmt: skip
@click.option("--node", metavar="NODE", help="with --link: the id or name of its node (default: the one that is asked)")
@client
def command(
    gateway: RunningGateway,
    wait: float | None,
    link: str | None,
    grace: float | None,
    node: str | None,
    *,
    as_json: bool,
) -> None:
    """Ask a running gateway to drain, or to drain one link."""
    if link is not None:
        if wait is not None:
            raise click.UsageError(
                "--wait is for the whole gateway; with --link use --grace", click.get_current_context()
            )
        answer = gateway.ask("POST", path_to("links", link, "drain"), {"grace": grace, "node": node})
        _print(answer, as_json=as_json)
    elif grace is not None or node is not None:
        needing = "--grace" if grace is not None else "--node"
        raise click.UsageError(f"{needing} needs --link", click.get_current_context())
    else:
        _drain(gateway, wait, as_json=as_json)


def _drain(gateway: RunningGateway, wait: float | None, *, as_json: bool) -> None:
    """Drain the node. Whatever goes wrong has status 1, as it had before there were others."""
    try:
        response = gateway.answer("POST", "/-/drain", {"wait": wait}, seconds=ANSWER_SECONDS + (wait or 0.0))
        if response.is_success:
            if as_json:
                terminal.print_json(gateway.read(response.text))
            else:
                click.echo(terminal.escaped(told(response.text) or "draining"))
            return
        gateway.refuse(response)
    except CommandError as error:
        raise CommandError(*error.lines, status=Status.FAILED) from error


def _print(answer: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(answer)
    else:
        click.echo(terminal.escaped(str(answer.get("message"))))

"""`reload`: a running gateway reads its configuration again."""

import click

from . import terminal
from .client import client
from .command import Command
from .gateway import RunningGateway

_SECONDS = 60.0
"""A large file with many certificates takes a while."""


@click.command("reload", cls=Command)
@client
def command(gateway: RunningGateway, *, as_json: bool) -> None:
    """Make a running gateway read its configuration again.

    If the configuration is wrong, every error is printed, nothing has changed, and the exit status is 2.
    """
    answer = gateway.ask("POST", "/-/reload", seconds=_SECONDS)
    if as_json:
        terminal.print_json(answer)
    else:
        click.echo(terminal.escaped(str(answer.get("message"))))

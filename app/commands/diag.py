"""`diag`: one file with all that a running gateway says of itself, for whoever is asked for help."""

import os
from pathlib import Path

import click

from . import bundle, terminal
from .client import url_and_token
from .command import Command
from .gateway import RunningGateway
from .statuses import CommandError


@click.command("diag", cls=Command)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@url_and_token
def command(gateway: RunningGateway, file: Path) -> None:
    """Write all that a running gateway says of itself to FILE, a .tar.gz archive.

    Status, nodes, links, clusters, routes, exchanges, events, the account, configuration and metrics, without secrets.
    Only you can read the file. Look through it before you pass it on: hosts, paths and addresses of clients are in it.
    """
    if file.exists():
        raise CommandError(f"diag: {file} exists, and is not overwritten")
    data = bundle.archive(bundle.files(gateway))
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as output:
                output.write(data)
        except OSError:
            file.unlink(missing_ok=True)  # whole, or not at all
            raise
    except OSError as error:
        raise CommandError(f"diag: {file}: {error.strerror or error}") from None
    click.echo(f"wrote {terminal.escaped(str(file))}: {len(data)} bytes; look through it before you pass it on")

"""`check`: read a configuration as `serve` would, and say all that is wrong with it."""

import click

from ..settings import certificate_of, load
from .command import Command
from .statuses import CommandError, Status
from .terminal import complain


@click.command("check", cls=Command)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--strict", is_flag=True, help="take warnings for errors: exit status 1")
def command(file: str | None, *, strict: bool) -> None:
    """Check a configuration without serving it.

    FILE is gateway.toml (default: GATEWAY_CONFIG). Prints a summary, or every error in a line of its own.
    """
    settings = load(file)
    certificate = certificate_of(settings)
    about_certificate = certificate.warning() if certificate is not None else None
    found = [f"{settings.tls_places[0]}: {about_certificate}"] if about_certificate is not None else []
    found += settings.warnings()
    if strict and found:
        raise CommandError(*(f"error: {text}" for text in found), status=Status.FAILED)
    click.echo(f"{settings.file or 'environment'}: ok: {settings.summary()}")
    complain(*(f"warning: {text}" for text in found))

"""`check`: read a configuration as `serve` would, and say all that is wrong with it; and try what it connects to."""

import asyncio
import time
from importlib.util import find_spec
from pathlib import Path

import click

from ..settings import Certificate, ClusterSettings, Settings, agent_token, certificate_of, load
from . import terminal
from .command import Command
from .statuses import CommandError, Status
from .terminal import complain

_SOON_DAYS = 14
"""As in the alert. What renews certificates of 90 days begins a month before the end, so it failed for two weeks."""


@click.command("check", cls=Command)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--config", metavar="FILE", help="the same, as for serve")
@click.option("--strict", is_flag=True, help="take warnings for errors: exit status 1")
@click.option(
    "--connect",
    "connects",
    is_flag=True,
    help="try what [cluster] names, too: NATS, its buckets (made if there are none), and the other nodes",
)
def command(file: str | None, *, config: str | None, strict: bool, connects: bool) -> None:
    """Check a configuration without serving it.

    FILE is gateway.toml (default: GATEWAY_CONFIG). Prints a summary, or every error in a line of its own.
    """
    if file is not None and config is not None:
        raise click.UsageError("the file is given twice, as FILE and with --config")
    missing: list[Path] = []

    def imagine(where: Path) -> str:
        missing.append(where)
        return agent_token.new_token()

    settings = load(file or config, token_maker=imagine)
    found = [*_about(certificate_of(settings), settings), *_missing_extra(settings), *settings.warnings()]
    if strict and found:
        raise CommandError(*(f"error: {text}" for text in found), status=Status.FAILED)
    click.echo(f"{settings.file or 'environment'}: ok: {settings.summary()}")
    for where in missing:
        click.echo(f"{where} does not exist; tunnel-gateway serve makes it, with a new token for agents")
    complain(*(f"warning: {text}" for text in found))
    if connects:
        _connect(settings.cluster, strict=strict)


def _connect(cluster: ClusterSettings | None, *, strict: bool) -> None:
    """Print what came of each try. Raises CommandError if one failed."""
    if cluster is None:
        click.echo("there is no [cluster]: nothing to connect to")
        return
    from ..cluster.engine import ExtraMissingError  # noqa: PLC0415 (only --connect needs any of it)
    from ..cluster.trying import Finding, findings  # noqa: PLC0415 (likewise)

    failed: list[Finding] = []

    async def run() -> None:
        async for found in findings(cluster):
            if found.level == "ok":
                click.echo(terminal.escaped(found.text))
            elif found.level == "error" or strict:
                failed.append(found)
            else:
                complain(terminal.escaped(f"warning: {found.text}"))

    try:
        asyncio.run(run())
    except ExtraMissingError as error:
        raise CommandError(str(error), status=Status.FAILED) from None
    if failed:
        raise CommandError(*(terminal.escaped(f"error: {found.text}") for found in failed), status=Status.FAILED)


def _missing_extra(settings: Settings) -> list[str]:
    """What `[cluster]` needs and this installation does not have: here only a warning, as it may run elsewhere."""
    if settings.cluster is None or find_spec("nats") is not None:
        return []
    from ..cluster.engine import INSTALL  # noqa: PLC0415 (one node needs nothing of it)

    return [f"{INSTALL}; without it, `serve` refuses this file"]


def _about(certificate: Certificate | None, settings: Settings) -> list[str]:
    """Why clients refuse the certificate, or soon will."""
    if certificate is None:
        return []
    now = time.time()
    text = certificate.warning(now)
    if text is None and certificate.not_after - now < _SOON_DAYS * 86_400:
        text = f"the certificate is {certificate}, which is in less than {_SOON_DAYS} days; renew it"
    return [] if text is None else [f"{settings.tls_places[0]}: {text}"]

"""`serve`: check the configuration, then serve until SIGTERM or SIGINT."""

from pathlib import Path

import click

from ..settings import load
from .command import Command
from .values import PORT


@click.command("serve", cls=Command)
@click.option("--config", metavar="FILE", help="gateway.toml (default: GATEWAY_CONFIG)")
@click.option(
    "--host", metavar="ADDRESS", help="address to listen on (default: host in the configuration, else 127.0.0.1)"
)
@click.option(
    "--port", type=PORT, metavar="PORT", help="port to listen on (default: port in the configuration, else 8080)"
)
@click.option("--tls-certificate", metavar="FILE", help="certificate with its chain, in PEM: speak TLS")
@click.option("--tls-key", metavar="FILE", help="key of the certificate, in PEM")
def command(
    config: str | None, host: str | None, port: int | None, tls_certificate: str | None, tls_key: str | None
) -> int:
    """Serve until SIGTERM or SIGINT."""
    given = {
        "tls_certificate": _from_here(tls_certificate),
        "tls_key": _from_here(tls_key),
        "host": host,
        "port": port,
    }
    settings = load(config, arguments={key: value for key, value in given.items() if value is not None})
    from .. import serve as server  # noqa: PLC0415  (the other commands need no server)

    return server.serve(settings, settings.host, settings.port)


def _from_here(file: str | None) -> str | None:
    """A file of the command line: relative to the working directory, where those of the configuration are to it."""
    return str(Path(file).absolute()) if file else file

"""`serve`: check the configuration, then serve until SIGTERM or SIGINT."""

from pathlib import Path

import click

from ..settings import agent_token, load
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
@click.option(
    "--agent-token-file", metavar="FILE", help="token of agents that publish ports; made if it does not exist"
)
@click.option(
    "--publish-host", metavar="HOST", multiple=True,
    help="a host that they may publish, or *. and a domain; may be repeated",
)  # fmt: skip
def command(
    config: str | None,
    host: str | None,
    port: int | None,
    tls_certificate: str | None,
    tls_key: str | None,
    agent_token_file: str | None,
    publish_host: tuple[str, ...],
) -> int:
    """Serve until SIGTERM or SIGINT."""
    given = {
        "tls_certificate": _from_here(tls_certificate),
        "tls_key": _from_here(tls_key),
        "agent_token_file": _from_here(agent_token_file),
        "publish_hosts": list(publish_host) or None,
        "host": host,
        "port": port,
    }
    made: list[Path] = []

    def make(file: Path) -> str:
        token = agent_token.make(file)
        made.append(file)
        return token

    arguments = {key: value for key, value in given.items() if value is not None}
    settings = load(config, arguments=arguments, token_maker=make)
    from .. import serve as server  # noqa: PLC0415  (the other commands need no server)

    return server.serve(settings, settings.host, settings.port, made=made)


def _from_here(file: str | None) -> str | None:
    """A file of the command line: relative to the working directory, where those of the configuration are to it."""
    return str(Path(file).absolute()) if file else file

"""The options that all client commands share: where the gateway is, the token for it, and JSON for programs."""

import functools
from collections.abc import Callable
from typing import Any

import click

from ..settings import gateway_url
from .gateway import RunningGateway
from .values import GATEWAY_URL, LIMIT

DEFAULT_URL = "http://127.0.0.1:8080"

Function = Callable[..., Any]


def url_and_token(function: Function) -> Function:
    """Call the function with `gateway`, a RunningGateway, besides its own options."""

    @functools.wraps(function)
    def run(url: str, admin_token_file: str | None, **options: object) -> object:
        name = click.get_current_context().info_name or ""
        return function(gateway=RunningGateway(name, url, admin_token_file), **options)

    return _URL(_ADMIN_TOKEN_FILE(run))


def client(function: Function) -> Function:
    """Call the function with `gateway` and with `as_json`, besides its own options."""
    return url_and_token(_JSON(function))


def limited(function: Function) -> Function:
    """Add `--limit`, the most rows to show."""
    option = click.option(
        "--limit", type=LIMIT, metavar="NUMBER", help="show at most so many (default: all that there are)"
    )
    return option(function)


def of_nodes(function: Function) -> Function:
    """Add `--nodes`, whose rows are shown."""
    option = click.option(
        "--nodes", metavar="all|NODE", help="of all nodes, or of the one with this id or name (default: all)"
    )
    return option(function)


class _Url(click.Option):
    """Has its variable from the settings: no other place reads the environment."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:  # noqa: ARG002  (of the base class)
        """What GATEWAY_URL says."""
        return gateway_url()


_URL = click.option(
    "--url",
    cls=_Url,
    type=GATEWAY_URL,
    metavar="URL",
    default=DEFAULT_URL,
    envvar="GATEWAY_URL",  # its name, for messages
    help=f"address of the gateway, or of its admin_bind (default: GATEWAY_URL, else {DEFAULT_URL})",
)
_ADMIN_TOKEN_FILE = click.option(
    "--admin-token-file", metavar="FILE", help="file with the admin token (default: GATEWAY_ADMIN_TOKEN)"
)
_JSON = click.option("--json", "as_json", is_flag=True, help="print the gateway's JSON")

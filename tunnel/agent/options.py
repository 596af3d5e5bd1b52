"""The options of `tunnel-agent`, and its commands: what may stand on the command line.

Only reads the command line: it looks at no value and knows no default, for a variable may give what an option does not
(`settings.py`). Options may stand before the command or after it; those after it win. No option may be abbreviated:
`--token` must not be taken for `--token-file`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from tunnel.version import VERSION

PROGRAM = "tunnel-agent"

Text = str | list[str] | None
Given = Mapping[str, Text]
"""Option -> its text, all its texts if it is repeatable, or None where it is not given."""


class UsageError(Exception):
    """The command line cannot be read; the text says which part of it."""


@dataclass(slots=True, frozen=True)
class CommandLine:
    """A command and the options given to it. `command`: `run`, `http`, `check`, `status`, `login` or `logout`."""

    command: str
    given: Given


def _repeated(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]  # noqa: ARG001  (click's)
) -> list[str] | None:  # fmt: skip
    """None tells an option that is not given from one without values."""
    return list(value) or None


_many = functools.partial(click.option, multiple=True, callback=_repeated)
_switch = functools.partial(click.option, is_flag=True, flag_value="true", default=None)

_gateway = _many(
    "--gateway",
    metavar="URL",
    help="https:// or http:// URL of a gateway, or the ws(s):// URL to dial; repeatable: one link to each",
)
_token_file = click.option("--token-file", metavar="FILE", help="file with the token; read at each dial")
_ca_file = click.option("--ca-file", metavar="FILE", help="CA certificates to check the gateway's certificate with")
_insecure_skip_verify = _switch("--insecure-skip-verify", help="do not check the gateway's certificate")
_log_format = click.option("--log-format", metavar="FORMAT", help="text (the default) or json")

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _gateway,
    click.option("--token", help="the agent's token (better: --token-file or AGENT_TOKEN)"),
    _token_file,
    click.option("--cluster", help="the cluster this agent serves"),
    click.option("--agent-id", metavar="ID", help="default: host name and a random suffix"),
    click.option("--dialect", help="protocol on the link: yamux (the default), json or chunk"),
    _many(
        "--service",
        metavar="NAME.NAMESPACE:PORT=HOST:PORT",
        help="a service that may be reached, and its address; a PORT alone is this machine's; repeatable",
    ),
    _many(
        "--allow",
        metavar="NAMESPACE/SERVICE:PORT",
        help="services that may be reached through cluster DNS; * stands for any part; repeatable",
    ),
    click.option("--cluster-domain", metavar="DOMAIN", help="default: cluster.local"),
    click.option("--grace", metavar="SECONDS", help="how long running streams may take after SIGTERM; default: 10"),
    click.option(
        "--ping-interval",
        metavar="SECONDS",
        help="most time between two pings of a link; the gateway may ask for less; default: 10",
    ),
    click.option(
        "--dead-after",
        metavar="SECONDS",
        help="give up a link that is silent for this long after a ping; the gateway may ask for less; default: 15",
    ),
    click.option("--dial-timeout", metavar="SECONDS", help="limit for connecting to a service; default: 10"),
    click.option(
        "--memory-limit", metavar="MIB", help="let windows grow only while less than this is held; default: 64"
    ),
    _ca_file,
    _insecure_skip_verify,
    click.option(
        "--health-bind",
        metavar="HOST:PORT",
        help="answer /healthz, /readyz, /status and /metrics there; :PORT is every address; default: off",
    ),
    _log_format,
    click.option("--log-level", metavar="LEVEL", help="debug, info (the default), warning or error"),
)

_json = _switch("--json", help="print JSON")
NOT_OF_HTTP = ("service", "allow", "dialect", "agent_id", "health_bind")
"""Options before a command that `http` cannot follow; the others of a running agent it leaves alone."""


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    options_metavar="[OPTIONS]",
    subcommand_metavar="[COMMAND]",
)
@_with_options
@click.version_option(VERSION, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def commands(context: click.Context, /, **given: Text) -> None:
    """Serves a cluster through a tunnel gateway.

    Without a command it runs the agent. Each option may be a variable instead: --gateway is AGENT_GATEWAY. `login`
    saves the gateway and the token, so that you can leave both out.
    """
    context.obj = CommandLine("run", given)


@commands.command(
    epilog="""\b
Exit status: 0 after Ctrl-C or SIGTERM; 1 if something cannot be published
at the start, or if another process takes over; 2 for wrong usage or
settings."""
)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True, callback=_repeated)
@_many(
    "--host", metavar="HOST[/PATH]", help="where clients reach it; the first --host is for the first TARGET, and so on"
)
@_gateway
@click.option("--token", help="the token (better: --token-file, AGENT_TOKEN or `tunnel-agent login`)")
@_token_file
@click.option("--cluster", help="needed if the token is for several clusters")
@click.option(
    "--host-header",
    metavar="rewrite|keep|TEXT",
    help="the Host that the service sees: its own (rewrite, the default), the public one (keep) or TEXT",
)
@_switch("--strip-prefix", help="remove the PATH of --host from the path that the service sees")
@click.option("--add-prefix", metavar="/PATH", help="put this in front of the path that the service sees")
@_switch("--https-redirect", help="redirect clients from http to https")
@_ca_file
@_insecure_skip_verify
@_log_format
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning (the default) or error")
@_switch("--json", help="print one JSON object per line: addresses, state and requests")
@click.pass_context
def http(context: click.Context, /, **given: Text) -> None:
    """Publish ports through a gateway for as long as this runs.

    TARGET is a port of this machine (5173) or another address: 192.168.1.5:8080, https://localhost:8443, or
    https+insecure://HOST:PORT, which does not check the certificate. Without --host the gateway gives it a name, the
    same one each time; --host "*.dev.example.com" asks for a name below that domain.
    """
    context.find_root().obj = CommandLine("http", _after(context.obj, given))


@commands.command()
@_with_options
@_json
@click.pass_context
def check(context: click.Context, /, **given: Text) -> None:
    """Try what an agent with these options would do, and say what fails.

    Exits with 1 if something does.
    """
    context.find_root().obj = CommandLine("check", _after(context.obj, given))


@commands.command()
@click.option(
    "--url", help="the --health-bind address of a running agent; default: AGENT_HEALTH_BIND, or http://127.0.0.1:8081"
)
@_json
@click.pass_context
def status(context: click.Context, /, **given: Text) -> None:
    """Say how a running agent is.

    Exits with 1 if it has no link, and with 3 if it does not answer.
    """
    context.find_root().obj = CommandLine("status", _after(context.obj, given))


@commands.command()
@_many(
    "--gateway",
    metavar="URL",
    help="https:// or http:// URL of the gateway; default: AGENT_GATEWAY, or the saved one",
)
@click.option(
    "--token-file", metavar="FILE", help="file with the token; default: standard input, or a prompt on a terminal"
)
@click.option("--cluster", help="needed if the token is for several clusters")
@_ca_file
@_insecure_skip_verify
@_switch("--no-check", help="save the token without trying it")
@click.pass_context
def login(context: click.Context, /, **given: Text) -> None:
    """Save a gateway and its token in your settings.

    Other commands use them unless an option or a variable says otherwise. The token is tried first: if the gateway does
    not accept it, nothing is saved, and the exit status is 1.
    """
    context.find_root().obj = CommandLine("login", _after(context.obj, given))


@commands.command()
@click.pass_context
def logout(context: click.Context, /) -> None:
    """Remove the token from your settings."""
    context.find_root().obj = CommandLine("logout", context.obj.given)


def _after(before: CommandLine, given: Given) -> Given:
    return {**before.given, **{name: value for name, value in given.items() if value is not None}}


def parse(arguments: Sequence[str]) -> CommandLine:
    """What the command line says. Raises UsageError; `--help` and `--version` print and raise SystemExit."""
    try:
        with commands.make_context(PROGRAM, list(arguments)) as context:
            commands.invoke(context)
            line = context.obj
    except click.exceptions.Exit as left:
        raise SystemExit(left.exit_code) from None
    except click.UsageError as error:
        raise UsageError(_told(error)) from None
    assert isinstance(line, CommandLine)  # noqa: S101 (each command sets it)
    return line


def _told(error: click.UsageError) -> str:
    """The error in the words of before (argparse), which others may look for."""
    if isinstance(error, click.NoSuchOption):
        return f"unrecognized arguments: {error.option_name}"
    if isinstance(error, click.NoSuchCommand):
        return f"unrecognized arguments: {error.command_name} (the commands are: {', '.join(commands.commands)})"
    if isinstance(error, click.BadOptionUsage) and "requires an argument" in error.message:
        return f"argument {error.option_name}: expected one argument"
    if isinstance(error, click.MissingParameter):
        return f"{error.format_message().rstrip('.')}: say what to publish, for example tunnel-agent http 5173"
    return error.format_message().rstrip(".")

"""The program: its commands, its default command, and how it ends.

Options cannot be abbreviated: `--admin-token SECRET` must not be taken for `--admin-token-file`.
"""

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import click

from tunnel.version import VERSION

from ..settings import ConfigurationError
from .statuses import EXIT_STATUSES, CommandError, Status
from .terminal import NAME, complain

DEFAULT = "serve"
SECTIONS: dict[str, tuple[str, ...]] = {
    f"Commands (default: {DEFAULT})": ("serve", "check", "token"),
    "Commands that ask a running gateway": (
        "status",
        "nodes",
        "clusters",
        "links",
        "routes",
        "exchanges",
        "explain",
        "events",
        "reload",
        "drain",
        "diag",
    ),
}
"""Heading -> commands. Each one is the object `command` of the module with its name."""


class Program(click.Group):
    """Loads a command when it is used. A command line that begins with none is one of `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (of the base class)
        """The names, in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name. None: there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As the base class, with the default command; without it for a shell that completes a command's name."""
        known = {*self.list_commands(ctx), *ctx.help_option_names, "--version"}
        if not ctx.resilient_parsing and (not args or args[0] not in known):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their headings."""
        for heading, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading), formatter.indentation():
                formatter.write_dl([(name, one.get_short_help_str(80)) for name, one in commands if one is not None])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. A reader that left and Ctrl-C are ends like others."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()  # here, where we still notice that the reader left
        except BrokenPipeError:
            _discard_output()
            return Status.NO_READER
        except KeyboardInterrupt:
            return Status.INTERRUPTED
        return status


PROGRAM = click.version_option(VERSION, prog_name=NAME, message="%(prog)s %(version)s")(
    Program(
        NAME,
        help="Reverse-tunnel gateway for private clusters.",
        epilog=EXIT_STATUSES,
        no_args_is_help=False,
        subcommand_metavar="COMMAND [OPTIONS]",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)


def run(arguments: Sequence[str]) -> int:
    """Run a command line. Returns the exit status; what went wrong is told on standard error."""
    if sys.stdout is None:  # it was closed, as by `>&-`
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            return run(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that the locale cannot show
    try:
        status = PROGRAM.main(list(arguments), NAME, standalone_mode=False)
    except click.UsageError as error:
        complain(_usage(error), program=error.ctx.command_path if error.ctx is not None else NAME)
        return Status.WRONG
    except ConfigurationError as error:
        complain(*error.errors)
        return Status.WRONG
    except CommandError as error:
        complain(*error.lines)
        return error.status
    except click.Abort:
        return Status.INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _discard_output()
        complain(f"the output cannot be written: {error.strerror}")
        return Status.FAILED
    return int(status or Status.DONE)


def _usage(error: click.UsageError) -> str:
    """What is wrong with the command line, without the value of an unknown option, which may be a token."""
    if isinstance(error, click.NoSuchOption):
        meant = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"unrecognized arguments: {error.option_name}{meant}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_named(error, error.param)} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_named(error, error.param)}: {error.message}"
    return error.format_message()


def _named(error: click.UsageError, parameter: click.Parameter) -> str:
    """The parameter as it was given: an option, a variable or an argument."""
    source = error.ctx.get_parameter_source(parameter.name or "") if error.ctx is not None else None
    if source is click.core.ParameterSource.ENVIRONMENT and isinstance(parameter.envvar, str):
        return parameter.envvar
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name


def _discard_output() -> None:
    """Lead standard output nowhere, so that the interpreter's last flush does not complain."""
    with suppress(OSError, ValueError):  # ValueError: it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""A command line of the gateway, read and not run."""

from collections.abc import Sequence
from types import SimpleNamespace

from app.commands import NAME, PROGRAM


def parsed(arguments: Sequence[str]) -> SimpleNamespace:
    """Its command and the command's options. Raises click.UsageError."""
    with PROGRAM.make_context(NAME, list(arguments)) as context:
        name, command, rest = PROGRAM.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        with command.make_context(name, rest, parent=context) as own:
            return SimpleNamespace(**{"command": name, **own.params})

"""`Command`: a command of the program, with the exit statuses in its help."""

from typing import Any

import click

from .statuses import EXIT_STATUSES


class Command(click.Command):
    """A click command that names the arguments that it does not know."""

    allow_extra_args = True

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  (click's own)
        super().__init__(*arguments, **{"epilog": EXIT_STATUSES, **options})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As the base class, but what is left over is wrong usage."""
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise click.UsageError(f"unrecognized arguments: {' '.join(rest)}", ctx)
        return rest

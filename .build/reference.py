"""Writes docs/cli.md, the reference of both command lines, from the programs themselves: `make docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "cli.md"
WIDTH = 100

INTRODUCTION = """\
# Reference of the command lines

`make docs` writes this page: it is what each command says with `--help`. In a checkout, `tunnel-gateway` is
`python -m app` and `tunnel-agent` is `python -m tunnel.agent`. `docs/operation.md` says when to use which.
"""


def reference() -> str:
    """The whole page."""
    from app.commands.program import PROGRAM  # noqa: PLC0415  (only found once this checkout is on the path)
    from tunnel.agent.options import commands  # noqa: PLC0415  (as above)

    return "\n".join((INTRODUCTION, *_program(PROGRAM, "tunnel-gateway"), *_program(commands, "tunnel-agent")))


def _program(group: click.Group, name: str) -> Iterator[str]:
    yield f"## {name}\n"
    top = _context(group, name)
    yield _help(group, top)
    for command_name in group.list_commands(top):
        if (command := group.get_command(top, command_name)) is not None:
            yield f"### {name} {command_name}\n"
            yield _help(command, _context(command, command_name, parent=top))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )


def _help(command: click.Command, context: click.Context) -> str:
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    return "```\n{}\n```\n".format("\n".join(lines))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    FILE.write_text(reference(), encoding="utf-8")

"""What the person at the terminal reads: one line at a time, behind the name of the program that it comes from.

Never blocks: a terminal that is held, or a pipe that nobody reads, delays no process and no Ctrl-C. Whatever a program
prints, it cannot move the cursor or forge a line of another one.
"""

import os

from ..observed.standard_error import StandardError
from ..settings.environment import wants_colours

_COLOURS = {
    "gateway": 36, "agent": 35, "kuma's agent": 35, "chat": 33, "kuma": 32, "index": 34,
    "node-1": 36, "node-2": 36, "node-3": 36, "agent-1": 35, "agent-2": 35, "nats": 32,
}  # fmt: skip
_LINE_CHARACTERS = 500
"""Of a program's line; the rest is cut."""
_OUTPUT = 1


class Console:
    """Standard output."""

    def __init__(self, descriptor: int = _OUTPUT) -> None:
        self._out = StandardError(descriptor, self._on_read_again)
        self._in_colour = os.isatty(descriptor) and wants_colours()

    def say(self, name: str, line: str) -> None:
        """Print one line of the program `name`; the demonstration's own name is `demo`."""
        tag = f"{name:>12}"
        colour = _COLOURS.get(name)
        if self._in_colour and colour:
            tag = f"\x1b[{colour}m{tag}\x1b[0m"
        self._out.write(f"{tag}  {line}".rstrip().encode("utf-8", "replace") + b"\n")

    def finish(self) -> None:
        """Write what is left, for the end of the process; waits for the reader for a second at most."""
        self._out.finish()
        self._out.close()

    def _on_read_again(self, lines: int) -> None:
        self.say("demo", f"{lines} lines were left out: nobody read them")


def cleaned(raw: bytes) -> str:
    """A line of a program's output as it may be shown: printable, and not endless."""
    text = raw[: 4 * _LINE_CHARACTERS].decode("utf-8", "replace").rstrip()[:_LINE_CHARACTERS].replace("\t", "    ")
    return text if text.isprintable() else "".join(character if character.isprintable() else "?" for character in text)

"""What every part of the demonstration needs: where processes are started, states are kept and lines are said."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .board import Board
from .children import Children
from .console import Console


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


@dataclass(slots=True, frozen=True)
class Scene:
    """One for each demonstration."""

    children: Children
    console: Console
    board: Board

    def say(self, line: str) -> None:
        """A line of the demonstration itself."""
        self.console.say("demo", line)


def written(folder: Path, files: Mapping[str, str]) -> None:
    """Write these files into the demonstration's folder. Raises DemoError."""
    try:
        for name, text in files.items():
            (folder / name).write_text(text)
    except OSError as error:
        where = f"{folder} cannot be written ({error.strerror})"
        raise DemoError(f"{where}; make room, or set TMPDIR to a folder elsewhere") from None

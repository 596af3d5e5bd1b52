"""What every part of the demonstration needs: where processes are started, states are kept and lines are said."""

from dataclasses import dataclass

from .board import Board
from .children import Children
from .console import Console


@dataclass(slots=True, frozen=True)
class Scene:
    """One for each demonstration."""

    children: Children
    console: Console
    board: Board

    def say(self, line: str) -> None:
        """A line of the demonstration itself."""
        self.console.say("demo", line)

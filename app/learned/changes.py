"""What one call changes of the learned routes: in the store, in the index and in the log."""

from .state_file import Change


class Changes:
    """Gathered while the call decides, and put in force together."""

    __slots__ = ("hosts", "lines", "stored")

    def __init__(self) -> None:
        self.stored: list[Change] = []
        self.hosts: dict[str, None] = {}
        self.lines: list[tuple[int, str, tuple[object, ...]]] = []

    def log(self, level: int, text: str, *values: object) -> None:
        """Log this line when the changes are committed."""
        self.lines.append((level, text, values))

"""What is wrong with a configuration, and at which keys. The loader adds the file and the lines.

A rule checks one value and raises `WrongKeyError`. `Faults` gathers what rules raise, so that one reading of a file
tells everything. A key that is wrong is not looked at again: no fault is told twice, and none that only follows from
another one.
"""

from collections.abc import Callable
from typing import TypeVar

KeyPath = tuple[str | int, ...]
"""Keys and indexes from the top of the file: `("routes", 0, "port")`."""

_Value = TypeVar("_Value")
_Checked = TypeVar("_Checked")


class ConfigurationError(Exception):
    """The configuration is wrong. The text is the lines of `errors`."""

    def __init__(self, *errors: str) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
        """All that is wrong: for each thing one line, which names the key and says what is valid."""


class WrongKeyError(ConfigurationError):
    """One key is wrong. `load` turns it into a line with the file and its line, or the variable."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(f"{dotted(path)}: {text}" if path else text)
        self.path = path
        self.text = text


class Faults:
    """What was found wrong so far."""

    def __init__(self) -> None:
        self.found: list[WrongKeyError] = []
        self._wrong: set[KeyPath] = set()

    def add(self, fault: WrongKeyError, about: KeyPath | None = None) -> None:
        """Another one. `about`: the key that is wrong, where the fault names the table around it."""
        self.found.append(fault)
        self._wrong.add(fault.path if about is None else about)

    def pass_over(self, path: KeyPath) -> None:
        """Do not look at this key: what is said of it would only follow from another fault."""
        self._wrong.add(path)

    def check(self, rule: Callable[[_Value, KeyPath], _Checked], value: _Value, path: KeyPath) -> _Checked | None:
        """What the rule makes of the value. None: it is wrong, or was before."""
        if path in self:
            return None
        try:
            return rule(value, path)
        except WrongKeyError as fault:
            self.add(fault)
            return None

    def __contains__(self, path: KeyPath) -> bool:
        """Whether this key, or a table around it, is wrong."""
        wrong = self._wrong
        return bool(wrong) and any(path[:length] in wrong for length in range(len(path) + 1))

    def __bool__(self) -> bool:
        return bool(self.found)


def dotted(path: KeyPath) -> str:
    """The path as a person writes it.

    >>> dotted(("routes", 0, "request_headers", "set"))
    'routes[0].request_headers.set'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text

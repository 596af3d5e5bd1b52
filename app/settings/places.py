"""Where each key of a configuration is written, as errors name it.

`gateway.toml:14: routes[1].port`, or the variable or the option that overrides the file.
"""

from collections.abc import Container, Mapping
from functools import cached_property

from .environment import ADMIN_TOKEN, option, variable
from .errors import Faults, KeyPath, dotted
from .lines import key_lines, line_of


class Places:
    """Of one file, with the variables and options over it."""

    def __init__(self, path: str | None, text: str, variables: Container[KeyPath], options: Container[str]) -> None:
        """`text`: what the file at `path` says. `variables`, `options`: the keys that they give."""
        self._path = path
        self._text = text
        self._variables = variables
        self._options = options

    def lines(self, faults: Faults) -> list[str]:
        """What the faults say, in the order of their places: options and variables first, then the file's lines."""
        found = sorted(faults.found, key=lambda fault: self._line(fault.path) or 0)
        return [f"{self.of(fault.path)}: {fault.text}" for fault in found]

    def of(self, where: KeyPath) -> str:
        """The place, and the key."""
        name = self._elsewhere(where)
        if name is not None:
            return name
        line = self._line(where)
        file = f"{self._path}:{line}" if line is not None else self._path or "environment"
        return f"{file}: {dotted(where)}" if where else file

    def _line(self, where: KeyPath) -> int | None:
        return line_of(self._key_lines, where) if self._elsewhere(where) is None else None

    def _elsewhere(self, where: KeyPath) -> str | None:
        """The option or the variable that gives this key. None: the file does."""
        key = where[0] if where else None
        if not isinstance(key, str):
            return None
        if key == ADMIN_TOKEN:  # it has no key, but a name like one
            return ADMIN_TOKEN
        if key in self._options:
            return option(key)
        path = next((where[:length] for length in (1, 2) if where[:length] in self._variables), ())
        return variable(*map(str, path)) if path else None

    @cached_property
    def _key_lines(self) -> Mapping[KeyPath, int]:
        """Looked for only when something is wrong, once, and in a file that was parsed."""
        return key_lines(self._text)

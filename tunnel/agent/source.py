"""Where one setting of the agent comes from: the command line, else its variable; errors name both."""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from tunnel.agent.service.services import ServiceRuleError

Value = TypeVar("Value")


class SettingsError(Exception):
    """A setting cannot be used; the text is the line for the operator."""


class Source:
    """Looks settings up, by the names of their options."""

    def __init__(self, given: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._given = given
        self.environment = environment

    def raw(self, name: str) -> str | None:
        """The text given for a single value, or None."""
        value = self._given.get(name)
        return str(value) if value is not None else self.environment.get(variable_of(name))

    def given(self, name: str) -> bool:
        """Whether it is on the command line."""
        return self._given.get(name) is not None

    def option(self, name: str) -> str | None:
        """The text on the command line, for an option without a variable."""
        value = self._given.get(name)
        return str(value) if value is not None else None

    def options(self, name: str) -> list[str]:
        """All texts of it on the command line."""
        value = self._given.get(name)
        return list(value) if isinstance(value, list) else []

    def one(self, name: str, default: str, parse: Callable[[str], Value]) -> Value:
        """One value, parsed."""
        raw = self.raw(name)
        return self.checked(name, default if raw is None else raw, parse)

    def many(self, name: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """All values: of a repeated option, or of a variable, separated by commas or blanks."""
        value = self._given.get(name)
        texts = value if isinstance(value, list) else re.split(r"[,\s]+", self.environment.get(variable_of(name), ""))
        return tuple(self.checked(name, text, parse) for text in texts if text)

    def checked(self, name: str, text: str, parse: Callable[[str], Value]) -> Value:
        """`parse(text)`; an error begins with the setting's names."""
        return checked_as(names_of(name), text, parse)


def names_of(name: str) -> str:
    """The option, and its variable in brackets."""
    return f"--{name.replace('_', '-')} ({variable_of(name)})"


def checked_as(names: str, text: str, parse: Callable[[str], Value]) -> Value:
    """`parse(text)`; an error begins with `names`."""
    try:
        return parse(text)
    except (ValueError, OSError, ServiceRuleError) as error:
        msg = f"{names}: {error}"
        raise SettingsError(msg) from None


def variable_of(name: str) -> str:
    """The setting's variable."""
    return "AGENT_ID" if name == "agent_id" else f"AGENT_{name.upper()}"

"""The agent's token: where it comes from, and how it is read. No error and no repr has it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tunnel.agent import user_settings, values
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.source import SettingsError, Source, checked_as
from tunnel.text import NotTextError, decoded

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_OPTIONS = "--token-file (AGENT_TOKEN_FILE) or --token (AGENT_TOKEN)"


@dataclass(slots=True, frozen=True)
class Token:
    """One of three: a text, a file of its own, or the user's settings."""

    text: str = field(default="", repr=False)
    file: Path | None = None
    user_file: Path | None = None
    gateways: tuple[GatewayAddress, ...] = ()
    """Who will get it. A token in the user's settings belongs to one gateway, and no other may get it."""

    def read(self) -> str:
        """The token to present now. A file is read each time, so that a new token is used at the next dial.

        Raises SettingsError.
        """
        if self.user_file is not None:
            return self._of_user(self.user_file)
        return _in_file(self.file) if self.file is not None else self.text

    @property
    def warning(self) -> str:
        """What is wrong with its file; empty if nothing is."""
        return user_settings.exposed(self.user_file) if self.user_file is not None else ""

    def _of_user(self, file: Path) -> str:
        user = user_settings.load(file)
        if not user.token:
            msg = f"{_OPTIONS}: one of them is required; or run `tunnel-agent login`, which saves the token in {file}"
            raise SettingsError(msg)
        if user.gateway:
            meant = checked_as(f"{file}: gateway", user.gateway, values.gateway_url).geturl()
            other = next((gateway.typed for gateway in self.gateways if gateway.url != meant), None)
            if other is not None:
                kept = user.gateway.partition("?")[0]
                msg = f"{_OPTIONS}: one of them is required: the token in {file} is for {kept}, not {other}"
                raise SettingsError(msg)
        return user.token


def given(source: Source, user_file: Path | None, gateways: tuple[GatewayAddress, ...]) -> Token:
    """The command line wins over the environment, and on each the file over the value; the user's settings come last.

    Raises SettingsError.
    """
    file = source.raw("token_file") if source.given("token_file") or not source.given("token") else None
    if file:
        return Token(file=Path(file))
    text = source.raw("token")
    if text:
        return Token(checked(text, "--token (AGENT_TOKEN):"))
    if user_file is None:
        raise SettingsError(f"{_OPTIONS}: one of them is required")
    return Token(user_file=user_file, gateways=gateways)


def checked(text: str, names: str) -> str:
    """The text, if it can be a token. Raises SettingsError, which begins with `names`."""
    if not _TOKEN.fullmatch(text):
        msg = f"{names} must be printable characters without blanks"
        raise SettingsError(msg)
    return text


def _in_file(file: Path) -> str:
    names = "--token-file (AGENT_TOKEN_FILE):"
    try:
        token = decoded(file.read_bytes()).strip()
    except OSError as error:
        msg = f"{names} {file} cannot be read: {error.strerror or type(error).__name__}"
        raise SettingsError(msg) from None
    except NotTextError as error:
        msg = f"{names} {file} {error}, with one token in it"
        raise SettingsError(msg) from None
    if not _TOKEN.fullmatch(token):
        msg = f"{names} {file} must hold one printable token"
        raise SettingsError(msg)
    return token

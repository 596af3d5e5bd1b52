"""`tunnel-agent login` saves a gateway and its token in the user's settings; `logout` removes the token.

The token comes from a file, from standard input, or from a prompt without echo; never from the command line, and it is
never shown. A token that the gateway does not accept is not saved, unless the user asked not to try it.
"""

import getpass
import sys
from pathlib import Path

import click

from tunnel.agent import token, user_settings
from tunnel.agent.check import findings as shown
from tunnel.agent.check import lookups
from tunnel.agent.check.findings import Finding, Verdict, failed
from tunnel.agent.check.gateway import GatewayCheck
from tunnel.agent.options import PROGRAM
from tunnel.agent.settings import LoginSettings
from tunnel.agent.source import SettingsError

FAILED = 1
_MOST_CHARACTERS = 8_192
"""Of standard input: twice the longest token."""


def log_in(login: LoginSettings) -> int:
    """Try the token and save it; the exit status. Raises SettingsError."""
    user_settings.load(login.file)  # report a bad file before anybody types a token
    text = _token(login)
    if login.check:
        found = lookups.run(_tried(login, text))
        if failed(found):
            click.echo(shown.as_text([finding for finding in found if finding.verdict is not Verdict.SKIPPED]))
            _say_aside(f"nothing was written to {login.file}; --no-check saves the token without trying it")
            return FAILED
        for finding in found:
            if finding.step == "token":
                click.echo(f"{login.address.typed}: {finding.text}")
    if not _changed(login.file, gateway=login.gateway, token=text):
        return FAILED
    click.echo(f"saved the gateway and the token in {login.file}")
    for variable in login.instead:
        _say_aside(f"{variable} is set, and is used instead of what that file says")
    return 0


def log_out(file: Path | None) -> int:
    """Remove the token from the user's settings; the exit status. Raises SettingsError."""
    if file is None or not user_settings.load(file).token:
        click.echo("no token is saved")
        return 0
    if not _changed(file, token=""):
        return FAILED
    click.echo(f"removed the token from {file}")
    return 0


async def _tried(login: LoginSettings, text: str) -> list[Finding]:
    return await GatewayCheck(login.with_token(text), login.address).run()


def _changed(file: Path, **values: str) -> bool:
    """Write these keys. False: it cannot be written, which was said."""
    try:
        user_settings.change(file, **values)
    except OSError as error:
        _say_aside(f"{file} cannot be written: {error.strerror or type(error).__name__}")
        return False
    return True


def _token(login: LoginSettings) -> str:
    if login.token_file is not None:
        return token.Token(file=login.token_file).read()
    if sys.stdin is None:
        raise SettingsError("--token-file: is required: there is no standard input to take the token from")
    if sys.stdin.isatty():
        try:
            text = getpass.getpass(f"Token for {login.gateway}: ")
        except EOFError:
            text = ""
    else:
        try:
            text = sys.stdin.read(_MOST_CHARACTERS)
        except UnicodeDecodeError:
            text = "\0"
    if not text.strip():
        raise SettingsError("no token was given: type it when asked, write it to standard input, or use --token-file")
    return token.checked(text.strip(), "the token on standard input")


def _say_aside(text: str) -> None:
    click.echo(f"{PROGRAM}: {text}", err=True)

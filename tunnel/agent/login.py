"""`tunnel-agent login` keeps a gateway and its token in the user's settings; `logout` takes the token out again.

The token comes from a file, from standard input, or from a person who types it without seeing it; never from the
command line, and it is never shown. What the gateway does not take is not kept, unless nobody is to try.
"""

import asyncio
import getpass
import sys
from pathlib import Path

import click

from tunnel.agent import token, user_settings
from tunnel.agent.check import findings as shown
from tunnel.agent.check.findings import Finding, Verdict, failed
from tunnel.agent.check.gateway import GatewayCheck
from tunnel.agent.options import PROGRAM
from tunnel.agent.settings import LoginSettings
from tunnel.agent.source import SettingsError

FAILED = 1
INTERRUPTED = 130
_MOST_CHARACTERS = 8_192
"""Of standard input: twice the longest token."""


def log_in(login: LoginSettings) -> int:
    """Try the token, and keep it; the exit status. Raises SettingsError."""
    user_settings.load(login.file)  # what is wrong with it is said before anybody types a token
    try:
        text = _token(login)
    except KeyboardInterrupt:
        _say_aside("")
        return INTERRUPTED
    if login.check:
        found = asyncio.run(_tried(login, text))
        if failed(found):
            click.echo(shown.as_text([finding for finding in found if finding.verdict is not Verdict.SKIPPED]))
            _say_aside(f"nothing was written to {login.file}; --no-check keeps the token without trying it")
            return FAILED
        for finding in found:
            if finding.step == "token":
                click.echo(f"{login.address.label}: {finding.text}")
    try:
        user_settings.change(login.file, gateway=login.gateway, token=text)
    except OSError as error:
        _say_aside(f"{login.file} cannot be written: {error.strerror or type(error).__name__}")
        return FAILED
    click.echo(f"gateway and token are in {login.file} now")
    for variable in login.instead:
        _say_aside(f"{variable} is set: it is used in place of what is in that file")
    return 0


def log_out(file: Path | None) -> int:
    """Take the token out of the user's settings; the exit status. Raises SettingsError."""
    if file is None or not user_settings.load(file).token:
        click.echo("there is no token in the user's settings")
        return 0
    try:
        user_settings.change(file, token="")
    except OSError as error:
        _say_aside(f"{file} cannot be written: {error.strerror or type(error).__name__}")
        return FAILED
    click.echo(f"the token is no longer in {file}")
    return 0


async def _tried(login: LoginSettings, text: str) -> list[Finding]:
    return await GatewayCheck(login.with_token(text), login.address).run()


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
    return token.checked(text.strip(), "the token on standard input")


def _say_aside(text: str) -> None:
    click.echo(f"{PROGRAM}: {text}" if text else "", err=True)

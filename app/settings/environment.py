"""`GATEWAY_...` variables: every plain key of the file in capitals, `GATEWAY_CONFIG` and `GATEWAY_ADMIN_TOKEN`.

A variable overrides the file. Lists are comma-separated. Other variables with the prefix are ignored: Kubernetes sets
`GATEWAY_PORT` and the like for a Service named gateway.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec

from .errors import ConfigurationError, WrongKeyError
from .reading import shown, valid
from .schema import PLAIN_KEYS, File, keys_of
from .tokens import checked_admin_token, token_of_file

PREFIX = "GATEWAY_"
ADMIN_TOKEN = PREFIX + "ADMIN_TOKEN"


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def web_concurrency() -> str | None:
    """The number of workers that servers use where their command line gives none."""
    return os.environ.get("WEB_CONCURRENCY")


def config_file(environment: Mapping[str, str]) -> str | None:
    """The file that `GATEWAY_CONFIG` names. None where it is not set or empty."""
    return environment.get(PREFIX + "CONFIG") or None


def variable(key: str) -> str:
    """The name of a plain key's variable."""
    return PREFIX + key.upper()


def option(key: str) -> str:
    """The name of a plain key's option, where the command line has one."""
    return "--" + key.replace("_", "-")


def written(environment: Mapping[str, str]) -> dict[str, object]:
    """The keys that the variables set, as a file would give them. Raises ConfigurationError."""
    types = keys_of(File)
    return {
        key: _value(key, types[key], environment[variable(key)]) for key in PLAIN_KEYS if variable(key) in environment
    }


def admin_token(file: str | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """The admin token, for the programs that present it. None when there is none. Raises ConfigurationError.

    It comes from `file` if that is given, else from the variables.
    """
    environment = process_environment() if environment is None else environment
    try:
        if file is not None:
            path = ("--admin-token-file",)
            return checked_admin_token(token_of_file(Path(file), path), path)
        if ADMIN_TOKEN in environment:
            return checked_admin_token(environment[ADMIN_TOKEN], (ADMIN_TOKEN,))
        if named := environment.get(name := variable("admin_token_file")):
            return checked_admin_token(token_of_file(Path(named), (name,)), (name,))
    except WrongKeyError as error:
        raise ConfigurationError(str(error)) from None
    return None


def _value(key: str, kind: object, text: str) -> object:
    if list[str] in get_args(kind):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise ConfigurationError(f"{variable(key)}: {shown(text)} is not valid; valid: {valid(kind)}") from None

"""`GATEWAY_...` variables: every plain key of the file in capitals, `GATEWAY_CONFIG` and `GATEWAY_ADMIN_TOKEN`.

So is every key of `[cluster]`, with `CLUSTER_` before it. A variable overrides the file. Lists are comma-separated.
Other variables with the prefix set nothing, and a warning names them; those that Kubernetes sets for a Service named
gateway, such as `GATEWAY_PORT=tcp://10.0.0.1:8080`, are left alone.
"""

import difflib
import os
import re
from collections.abc import Collection, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec

from ..rules.shown import shown
from .errors import ConfigurationError, Faults, KeyPath, WrongKeyError
from .reading import valid
from .schema import CLUSTER_KEYS, PLAIN_KEYS, ClusterKeys, File, keys_of
from .tokens import checked_admin_token, token_of_file

PREFIX = "GATEWAY_"
ADMIN_TOKEN = PREFIX + "ADMIN_TOKEN"
URL = PREFIX + "URL"
"""For the client commands. It sets nothing in a gateway."""

_REPEATED = {"publish_hosts": "--publish-host"}
"""The options for keys that are lists: one for each element."""

_PATHS: dict[tuple[str, ...], object] = {
    **{(key,): keys_of(File)[key] for key in PLAIN_KEYS},
    **{("cluster", key): keys_of(ClusterKeys)[key] for key in CLUSTER_KEYS},
}
"""Keys that a variable can set, with their types."""

_SERVICE_LINK = re.compile(
    rf"{PREFIX}(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_LINK_PORT = re.compile(rf"{PREFIX}(?:[A-Z0-9_]+_)?PORT")
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def without_settings(environment: MutableMapping[str, str] | None = None) -> list[str]:
    """Take all settings of gateways and agents out of it (default: this process's environment). Returns their names."""
    environment = os.environ if environment is None else environment
    names = sorted(name for name in environment if name.startswith((PREFIX, "AGENT_")))
    for name in names:
        del environment[name]
    return names


def gateway_url() -> str | None:
    """Where the client commands find a gateway. None where it is not set or empty."""
    return os.environ.get(URL) or None


def web_concurrency() -> str | None:
    """The number of workers that servers use where their command line gives none."""
    return os.environ.get("WEB_CONCURRENCY")


def wants_colours(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the person at the terminal wants colours, and it has some."""
    environment = process_environment() if environment is None else environment
    return not environment.get("NO_COLOR") and not is_plain_terminal(environment)


def is_plain_terminal(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal, if there is one, knows no control sequences."""
    environment = process_environment() if environment is None else environment
    return environment.get("TERM") == "dumb"


def config_file(environment: Mapping[str, str]) -> str | None:
    """The file that `GATEWAY_CONFIG` names. None where it is not set or empty."""
    return environment.get(PREFIX + "CONFIG") or None


def variable(*key: str) -> str:
    """The name of a plain key's variable; `variable("cluster", "servers")` of a key of `[cluster]`."""
    return PREFIX + "_".join(key).upper()


def option(key: str) -> str:
    """The name of a plain key's option, where the command line has one."""
    return _REPEATED.get(key) or "--" + key.replace("_", "-")


def given(environment: Mapping[str, str]) -> frozenset[tuple[str, ...]]:
    """The keys that variables set, well or not, each as its path: `("port",)`, `("cluster", "servers")`."""
    return frozenset(
        path
        for path in _PATHS
        if (name := variable(*path)) in environment and not _is_service_link(name, environment[name])
    )


def written(environment: Mapping[str, str], faults: Faults) -> dict[tuple[str, ...], object]:
    """What the variables set, by the key's path, as a file would give it. What is wrong goes to `faults`."""
    paths = given(environment)
    values = {
        path: faults.check(partial(_value, kind), environment[variable(*path)], path)
        for path, kind in _PATHS.items()
        if path in paths
    }
    return {path: value for path, value in values.items() if value is not None}


def merged(
    table: Mapping[str, object], values: Mapping[tuple[str, ...], object], paths: Collection[tuple[str, ...]]
) -> dict[str, object]:
    """The file's table, with the values of variables in the place of what it says at these paths."""
    found = {key: value for key, value in table.items() if (key,) not in paths}
    for path in paths:
        if len(path) > 1 and isinstance(inner := found.get(path[0], {}), Mapping):
            found[path[0]] = {key: value for key, value in inner.items() if key != path[1]}
    for path, value in values.items():
        if len(path) == 1:
            found[path[0]] = value
        elif isinstance(inner := found[path[0]], dict):
            inner[path[1]] = value
    return found


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """One line for each variable with the prefix that sets nothing. Values are never shown: they may be secrets."""
    known = {*(variable(*path) for path in _PATHS), PREFIX + "CONFIG", ADMIN_TOKEN, URL}
    return tuple(
        f"{ascii(name)[1:-1]} is not a variable of the gateway, {_nearest(name, known)}"
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX) and name not in known and not _is_service_link(name, value)
    )


def _nearest(name: str, known: Collection[str]) -> str:
    own = [each.removeprefix(PREFIX) for each in known]
    near = difflib.get_close_matches(name.removeprefix(PREFIX), own, n=1)
    return f"did you mean {PREFIX}{near[0]}?" if near else "and sets nothing"


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes, or Docker's links, set this variable for a Service whose name begins with gateway."""
    is_port = _SERVICE_LINK_PORT.fullmatch(name) is not None and _SERVICE_ADDRESS.match(value) is not None
    return is_port or _SERVICE_LINK.fullmatch(name) is not None


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


def _value(kind: object, text: str, path: KeyPath) -> object:
    if list[str] in get_args(kind):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise WrongKeyError(path, f"{shown(text)} is not valid; valid: {valid(kind)}") from None

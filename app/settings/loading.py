"""Turns the file and the variables into `Settings`, or into one line that says what is wrong and where."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET

from ..rules.policy import DEFAULT_POLICY
from . import hosts, policies, routing, tokens
from .environment import ADMIN_TOKEN, config_file, process_environment, variable, written
from .errors import ConfigurationError, WrongKeyError
from .lines import line_of
from .reading import read
from .schema import File
from .settings import Settings

_COPIED = (
    "reconnect_grace", "drain_delay", "shutdown_grace", "max_window_bytes", "spool_bytes_limit",
    "link_ping_interval", "link_ping_timeout", "max_links_per_cluster", "max_links_per_token", "max_syncs_per_minute",
    "client_ping_interval", "client_ping_timeout", "log_format", "log_level",
)  # fmt: skip
"""Keys that need no check beyond their type."""


def load(path: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file (`path`, else GATEWAY_CONFIG, else none) and the variables. Raises ConfigurationError."""
    environment = process_environment() if environment is None else environment
    path = path or config_file(environment)
    text = _text(path) if path is not None else ""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    variables = written(environment)
    try:
        file = read(File, {**table, **variables})
        return _settings(file, path, environment.get(ADMIN_TOKEN))
    except WrongKeyError as error:
        key = error.path[0] if error.path else ""
        if key == ADMIN_TOKEN:
            raise ConfigurationError(str(error)) from None
        if isinstance(key, str) and key in variables:
            raise ConfigurationError(f"{variable(key)}: {error.text}") from None
        line = line_of(text, error.path)
        place = f"{path}:{line}" if line is not None else path or "environment"
        raise ConfigurationError(f"{place}: {error}") from None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None


def _settings(file: File, path: str | None, admin_token: str | None) -> Settings:
    """Check the values and build the settings. Raises WrongKeyError."""
    folder = Path(path).parent if path is not None else Path()
    given: dict[str, Any] = {name: getattr(file, name) for name in _COPIED if getattr(file, name) is not UNSET}
    public_host = ""
    if file.public_url is not UNSET:
        given["public_url"], public_host = hosts.public_url(file.public_url)
    control_hosts = _control_hosts(file, public_host)
    if file.trusted_proxies is not UNSET:
        given["trusted_proxies"] = tuple(
            hosts.network(value, ("trusted_proxies", index)) for index, value in enumerate(file.trusted_proxies)
        )
    if file.state_dir is not UNSET:
        given["state_dir"] = str(folder / file.state_dir)
    if file.max_websockets_per_cluster not in (UNSET, "unlimited"):
        given["max_websockets_per_cluster"] = file.max_websockets_per_cluster
    defaults = policies.policy(DEFAULT_POLICY, file, ())
    routes = routing.route_table(file.routes, defaults=defaults, control_hosts=control_hosts, folder=folder)
    admin = _admin(file, folder, admin_token)
    read_too = [entry.token_file for entry in file.agents] + [entry.ca_file for entry in file.routes]
    named = [str(folder / name) for name in read_too if name] + [admin.get("admin_token_file")]
    return Settings(
        control_hosts=control_hosts,
        policy=defaults,
        grants=tokens.grants(file.agents, folder),
        routes=routes,
        file=path,
        files_read=tuple(dict.fromkeys(name for name in [path, *named] if name)),
        **given,
        **_held_bytes(file),
        **admin,
    )


def _control_hosts(file: File, public_host: str) -> frozenset[str]:
    if file.control_hosts is UNSET:
        return frozenset({"localhost", public_host} if public_host else {"localhost"})
    return frozenset(
        hosts.control_host(value, ("control_hosts", index)) for index, value in enumerate(file.control_hosts)
    )


def _held_bytes(file: File) -> dict[str, Any]:
    """The account's two marks. The hard mark is twice the high mark unless it is given."""
    limit = Settings().held_bytes_limit if file.held_bytes_limit is UNSET else file.held_bytes_limit
    hard = 2 * limit if file.held_bytes_hard_limit is UNSET else file.held_bytes_hard_limit
    if hard <= limit:
        raise WrongKeyError(
            ("held_bytes_hard_limit",), f"{hard} is not valid; valid: more than held_bytes_limit, which is {limit}"
        )
    return {"held_bytes_limit": limit, "held_bytes_hard_limit": hard}


def _admin(file: File, folder: Path, token: str | None) -> dict[str, Any]:
    """The hash of the admin token, and the listener for it. The variable overrides the file."""
    admin: dict[str, Any] = {}
    if file.admin_token_file is not UNSET:
        where = folder / file.admin_token_file
        admin["admin_token_file"] = str(where)
        if token is None:
            found = tokens.token_of_file(where, ("admin_token_file",))
            admin["admin_token_hash"] = tokens.token_hash(tokens.checked_admin_token(found, ("admin_token_file",)))
    if token is not None:
        admin["admin_token_hash"] = tokens.token_hash(tokens.checked_admin_token(token, (ADMIN_TOKEN,)))
    if file.admin_bind is not UNSET:
        host, port = admin["admin_bind"] = hosts.bind_address(file.admin_bind, ("admin_bind",))
        if "admin_token_hash" not in admin and not hosts.is_loopback(host):
            raise WrongKeyError(
                ("admin_bind",), f"{host}:{port} needs an admin token; set {ADMIN_TOKEN}, or bind to 127.0.0.1"
            )
    return admin

"""Turns the file and the variables into `Settings`, or into one line that says what is wrong and where."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET

from tunnel.text import NotTextError, decoded

from ..rules.policy import DEFAULT_POLICY
from . import hosts, policies, routing, tokens
from .environment import ADMIN_TOKEN, config_file, option, process_environment, variable, written
from .errors import ConfigurationError, KeyPath, WrongKeyError, dotted
from .lines import line_of
from .reading import read
from .schema import File
from .settings import Settings

_COPIED = (
    "proxy_fields", "reconnect_grace", "max_waiting_requests", "ready_wait", "drain_delay", "shutdown_grace",
    "max_window_bytes", "spool_bytes_limit", "link_ping_interval", "link_ping_timeout", "max_links_per_cluster",
    "max_links_per_token", "max_syncs_per_minute", "max_connections", "client_ping_interval", "client_ping_timeout",
    "log_format", "log_level",
)  # fmt: skip
"""Keys that need no check beyond their type."""

_PATHS = ("state_dir", "tls_certificate", "tls_key")
"""Keys that name a file or a folder, relative to the file's folder. What is in it is read by those who need it."""


def load(
    path: str | None = None, environment: Mapping[str, str] | None = None, *, arguments: Mapping[str, str] | None = None
) -> Settings:
    """Read the file (`path`, else GATEWAY_CONFIG, else none) and the variables. Raises ConfigurationError.

    `arguments`: keys that the command line gives.
    """
    environment = process_environment() if environment is None else environment
    arguments = arguments or {}
    path = path or config_file(environment)
    text = _text(path) if path is not None else ""
    try:
        table: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    variables = written(environment)

    def place(where: KeyPath) -> str:
        """Where a key is written, and the key."""
        key = where[0] if where else ""
        if key == ADMIN_TOKEN:
            return ADMIN_TOKEN
        if isinstance(key, str) and key in arguments:
            return option(key)
        if isinstance(key, str) and key in variables:
            return variable(key)
        line = line_of(text, where)
        file = f"{path}:{line}" if line is not None else path or "environment"
        return f"{file}: {dotted(where)}" if where else file

    try:
        file = read(File, {**table, **variables, **arguments})
        settings = _settings(file, path, environment.get(ADMIN_TOKEN))
    except WrongKeyError as error:
        raise ConfigurationError(f"{place(error.path)}: {error.text}") from None
    if settings.tls_certificate is None and settings.tls_key is None:
        return settings
    places = (place(("tls_certificate",)), place(("tls_key",)))
    return dataclasses.replace(settings, tls_places=places, arguments=arguments)


def _text(path: str) -> str:
    try:
        return decoded(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except NotTextError as error:
        raise ConfigurationError(f"{path}: {error}") from None


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
    if file.proxy_protocol is not UNSET:
        given["proxy_protocol"] = file.proxy_protocol
        if file.proxy_protocol and not given.get("trusted_proxies"):
            raise WrongKeyError(("proxy_protocol",), "needs trusted_proxies: the addresses of the balancer")
    for name in _PATHS:
        if (value := getattr(file, name)) is not UNSET:
            given[name] = str(folder / value)
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
            found = tokens.configured_token(where, ("admin_token_file",))
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

"""Turns the file and the variables into `Settings`, or into lines that say what is wrong and where."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET

from tunnel.text import NotTextError, decoded

from ..rules.policy import DEFAULT_POLICY
from . import agent_token, hosts, policies, routing, tokens
from .cluster import cluster_settings
from .environment import ADMIN_TOKEN, config_file, given, merged, process_environment, unknown_variables, written
from .errors import ConfigurationError, Faults, KeyPath, WrongKeyError
from .places import Places
from .reading import read
from .schema import File
from .settings import Settings

_COPIED = (
    "proxy_fields", "reconnect_grace", "max_waiting_requests", "ready_wait", "drain_delay", "shutdown_grace",
    "max_window_bytes", "spool_bytes_limit", "link_ping_interval", "link_ping_timeout", "max_links_per_cluster",
    "max_links_per_token", "max_syncs_per_minute", "max_connections", "client_ping_interval", "client_ping_timeout",
    "log_format", "log_level", "port",
)  # fmt: skip
"""Keys that need no check beyond their type."""

_FILE_BYTES = 64 * 1024 * 1024
"""Of the file: 300,000 routes. A device has no end."""

_PATHS = ("agent_token_file", "state_dir", "tls_certificate", "tls_key")
"""Keys that name a file or a folder, relative to the file's folder. What is in it is read by those who need it."""


def load(
    path: str | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    arguments: Mapping[str, object] | None = None,
    token_maker: agent_token.Maker | None = None,
) -> Settings:
    """Read the file (`path`, else GATEWAY_CONFIG, else none) and the variables.

    `arguments`: keys that the command line gives. `token_maker`: makes an `agent_token_file` that does not exist, if
    everything else is right; None: that is an error. Raises ConfigurationError with everything that is wrong.
    """
    environment = process_environment() if environment is None else environment
    arguments = arguments or {}
    path = path or config_file(environment)
    text = _text(path) if path is not None else ""
    faults = Faults()
    overridden = given(environment)
    variables = written(environment, faults)
    places = Places(path, text, overridden, arguments)
    try:
        table = _table(text)
    except ValueError as error:
        raise ConfigurationError(*places.lines(faults), f"{path}: not TOML: {error}") from None
    file = read(File, {**merged(table, variables, overridden), **arguments}, faults)
    values = _values(file, path, environment.get(ADMIN_TOKEN), token_maker, faults)
    if faults:
        raise ConfigurationError(*places.lines(faults))
    if file.tls_certificate is not UNSET or file.tls_key is not UNSET:
        values["tls_places"] = (places.of(("tls_certificate",)), places.of(("tls_key",)))
    return Settings(**values, arguments=arguments, unknown_variables=unknown_variables(environment))


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as opened:
            data = opened.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise ConfigurationError(f"{path}: has more than {_FILE_BYTES // 1024**2} MiB; name a configuration file")
        return decoded(data)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except NotTextError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _table(text: str) -> dict[str, object]:
    """The file's keys and values. Raises ValueError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int()
        raise ValueError("a number has thousands of digits") from None
    except RecursionError:
        raise ValueError("hundreds of tables or lists are inside one another") from None


def _values(
    file: File, path: str | None, admin_token: str | None, token_maker: agent_token.Maker | None, faults: Faults
) -> dict[str, Any]:
    """Check the values, and give those of `Settings`. What is wrong goes to `faults`; the values are then not whole."""
    folder = Path(path).parent if path is not None else Path()
    values: dict[str, Any] = {name: getattr(file, name) for name in _COPIED if getattr(file, name) is not UNSET}
    if file.host is not UNSET:
        values["host"] = faults.check(hosts.listen_host, file.host, ("host",))
    public_host = ""
    if file.public_url is not UNSET:
        checked = faults.check(hosts.public_url, file.public_url, ("public_url",))
        values["public_url"], public_host = checked or ("", "")
    control_hosts = _control_hosts(file, public_host, faults)
    if file.trusted_proxies is not UNSET:
        values["trusted_proxies"] = tuple(
            faults.check(hosts.network, value, ("trusted_proxies", index))
            for index, value in enumerate(file.trusted_proxies)
        )
    if file.proxy_protocol is not UNSET:
        values["proxy_protocol"] = file.proxy_protocol
        if file.proxy_protocol and not values.get("trusted_proxies") and ("trusted_proxies",) not in faults:
            faults.add(WrongKeyError(("proxy_protocol",), "needs trusted_proxies: the addresses of the balancer"))
    for name in _PATHS:
        if (value := getattr(file, name)) is not UNSET:
            values[name] = str(folder / value)
    if file.max_websockets_per_cluster not in (UNSET, "unlimited"):
        values["max_websockets_per_cluster"] = file.max_websockets_per_cluster
    if file.cluster is not UNSET and file.cluster is not None:
        values["cluster"] = cluster_settings(file.cluster, folder, faults)
    values |= _held_bytes(file, faults) | _admin(file, folder, admin_token, faults)
    defaults = policies.policy(DEFAULT_POLICY, file, faults)
    routes = routing.route_table(file.routes, faults, defaults=defaults, control_hosts=control_hosts, folder=folder)
    grants = tokens.grants(file.agents, folder, faults)
    values["publish_hosts"] = agent_token.publish_hosts(file, control_hosts, faults)
    if (where := values.get("agent_token_file")) is not None:  # last: it may be made, if nothing is wrong
        grants |= agent_token.grant(Path(where), values["publish_hosts"], grants, token_maker, faults)
    read_too = [entry.token_file for entry in file.agents] + [entry.ca_file for entry in file.routes]
    named = [str(folder / name) for name in read_too if name]
    named += [values[name] for name in ("admin_token_file", "agent_token_file") if name in values]
    return values | {
        "control_hosts": control_hosts,
        "policy": defaults,
        "grants": grants,
        "routes": routes,
        "file": path,
        "files_read": tuple(dict.fromkeys([path, *named] if path else named)),
    }


def _control_hosts(file: File, public_host: str, faults: Faults) -> frozenset[str]:
    if file.control_hosts is UNSET:
        return frozenset({"localhost", public_host} if public_host else {"localhost"})
    checked = [
        faults.check(hosts.name_or_address, value, ("control_hosts", index))
        for index, value in enumerate(file.control_hosts)
    ]
    return frozenset(host for host in checked if host is not None)


def _held_bytes(file: File, faults: Faults) -> dict[str, Any]:
    """The account's two marks. The hard mark is twice the high mark unless it is given."""
    limit = Settings().held_bytes_limit if file.held_bytes_limit is UNSET else file.held_bytes_limit
    hard = 2 * limit if file.held_bytes_hard_limit is UNSET else file.held_bytes_hard_limit
    if hard <= limit and ("held_bytes_limit",) not in faults:
        text = f"{hard} is not valid; valid: more than held_bytes_limit, which is {limit}"
        faults.add(WrongKeyError(("held_bytes_hard_limit",), text))
    return {"held_bytes_limit": limit, "held_bytes_hard_limit": hard}


def _admin(file: File, folder: Path, token: str | None, faults: Faults) -> dict[str, Any]:
    """The hash of the admin token, and the listener for it. The variable overrides the file."""
    admin: dict[str, Any] = {}
    by_file: KeyPath = ("admin_token_file",)
    if file.admin_token_file is not UNSET:
        where = folder / file.admin_token_file
        admin["admin_token_file"] = str(where)
        if token is None and (found := faults.check(tokens.configured_token, where, by_file)) is not None:
            faults.check(tokens.checked_admin_token, found, by_file)
            admin["admin_token_hash"] = tokens.token_hash(found)
    if token is not None:
        faults.check(tokens.checked_admin_token, token, (ADMIN_TOKEN,))
        admin["admin_token_hash"] = tokens.token_hash(token)
    if file.admin_bind is not UNSET:
        bind = admin["admin_bind"] = faults.check(hosts.bind_address, file.admin_bind, ("admin_bind",))
        if bind is not None and "admin_token_hash" not in admin and by_file not in faults:
            host, port = bind
            if not hosts.is_loopback(host):
                text = f"{host}:{port} needs an admin token; set {ADMIN_TOKEN}, or bind to 127.0.0.1"
                faults.add(WrongKeyError(("admin_bind",), text))
    return admin

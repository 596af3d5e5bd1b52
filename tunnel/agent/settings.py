"""The agent's settings: read once from the command line and the environment, and checked as a whole.

The only module of the agent that reads the environment; `options.py` reads the command line. Never starts anything; it
reads the token file, to report a bad one at once. Invariants: every part of what `read` returns is valid; an error
names the option and its variable and says what would be valid; no error and no repr contains a secret.
"""

import os
import re
import secrets
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tunnel.agent import options, user_settings, values, view
from tunnel.agent.proxies import is_usable, proxy_for
from tunnel.agent.service.services import AllowPattern, ServiceEntry, ServiceRuleError
from tunnel.text import NotTextError, check_pem_file, decoded

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
DEFAULT_HEALTH_PORT = 8081
"""Where `tunnel-agent status` asks unless told otherwise; the chart's default."""
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)
"""An address of every interface is reached by this machine's own."""

Value = TypeVar("Value")


class SettingsError(Exception):
    """A setting cannot be used; the text is the line for the operator."""


@dataclass(slots=True, frozen=True)
class GatewayAddress:
    """One gateway to keep a link to. `label` is the URL without its query, for logs."""

    url: str
    label: str
    proxy: str | None = field(default=None, repr=False)


@dataclass(slots=True, frozen=True)
class AgentSettings:
    """Everything the agent is told. Times in seconds."""

    gateways: tuple[GatewayAddress, ...]
    cluster: str
    agent_id: str
    hostname: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    dialect: str = "yamux"
    services: tuple[ServiceEntry, ...] = ()
    allow: tuple[AllowPattern, ...] = ()
    cluster_domain: str = "cluster.local"
    api_hosts: tuple[str, ...] = ()
    grace_seconds: float = 10.0
    ping_seconds: float = 10.0
    dead_seconds: float = 15.0
    dial_seconds: float = 10.0
    memory_bytes: int = 64 * values.MIB
    """Windows may grow while less than this is held for slow services: room for 64 bulk streams of 1 MiB."""
    tls: ssl.SSLContext | None = None
    health_bind: tuple[str, int] | None = None
    """Where the agent's own endpoints listen: host (empty: every address) and port."""
    log_format: str = "text"
    log_level: str = "info"

    def read_token(self) -> str:
        """The token to present now. The file is read each time, so that a rotated token is used at the next dial.

        Raises SettingsError.
        """
        if self.token_file is None:
            return self.token or ""
        try:
            token = decoded(self.token_file.read_bytes()).strip()
        except OSError as error:
            msg = f"--token-file (AGENT_TOKEN_FILE): {self.token_file} cannot be read: {type(error).__name__}"
            raise SettingsError(msg) from None
        except NotTextError as error:
            msg = f"--token-file (AGENT_TOKEN_FILE): {self.token_file} {error}, with one token in it"
            raise SettingsError(msg) from None
        if not _TOKEN.fullmatch(token):
            msg = f"--token-file (AGENT_TOKEN_FILE): {self.token_file} must hold one printable token"
            raise SettingsError(msg)
        return token


def read(argv: Sequence[str], environment: Mapping[str, str], hostname: str) -> AgentSettings:
    """The settings: from `argv`, else `environment`, else the defaults. Raises SettingsError.

    The command does not matter. `--help` and `--version` exit.
    """
    return of(_parsed(argv), environment, hostname)


def of(line: options.CommandLine, environment: Mapping[str, str], hostname: str) -> AgentSettings:
    """The settings of a command line that was read. Raises SettingsError."""
    source = _Source(line.given, environment)
    dialect = source.one("dialect", "yamux", values.dialect)
    gateways = _gateways(source, environment)
    cluster = source.one("cluster", "", values.cluster)
    token, token_file = _token(source)
    settings = AgentSettings(
        gateways=gateways,
        cluster=cluster,
        agent_id=source.one("agent_id", f"{hostname}-{secrets.token_hex(4)}"[-128:], values.agent_id),
        hostname=hostname,
        token=token,
        token_file=token_file,
        dialect=dialect,
        services=source.many("service", ServiceEntry.parse),
        allow=source.many("allow", AllowPattern.parse),
        cluster_domain=source.one("cluster_domain", "cluster.local", values.domain),
        api_hosts=tuple(filter(None, (environment.get("KUBERNETES_SERVICE_HOST", "").strip(),))),
        grace_seconds=source.one("grace", "10", values.seconds(0, 3600)),
        ping_seconds=source.one("ping_interval", "10", values.seconds(1, 60)),
        dead_seconds=source.one("dead_after", "15", values.seconds(1, 300)),
        dial_seconds=source.one("dial_timeout", "10", values.seconds(0.1, 60)),
        memory_bytes=source.one("memory_limit", "64", values.mebibytes),
        tls=_tls(source),
        health_bind=source.one("health_bind", "", values.bind_address),
        log_format=source.one("log_format", "text", values.choice("text", "json")),
        log_level=source.one("log_level", "info", values.choice("debug", "info", "warning", "error")),
    )
    settings.read_token()
    return settings


def command_line() -> options.CommandLine:
    """The command line of this process. Raises SettingsError; `--help` and `--version` exit."""
    return _parsed(sys.argv[1:])


def of_process(line: options.CommandLine) -> AgentSettings:
    """The settings of this process. Raises SettingsError."""
    return of(line, os.environ, socket.gethostname())


def look(environment: Mapping[str, str] = os.environ) -> view.Look:
    """What the environment says of the terminal (https://no-color.org)."""
    return view.Look(moves=environment.get("TERM", "") not in {"", "dumb"}, colours=not environment.get("NO_COLOR"))


def name_seed(environment: Mapping[str, str] = os.environ) -> user_settings.NameSeed:
    """What gateways make this machine's names of; made on the first call. Raises SettingsError."""
    user = environment.get("USER") or environment.get("USERNAME") or ""
    try:
        return user_settings.name_seed(user_settings.place(environment), socket.gethostname(), user)
    except user_settings.UserSettingsError as error:
        raise SettingsError(str(error)) from None


def url_of_status(line: options.CommandLine, environment: Mapping[str, str] = os.environ) -> str:
    """Where `tunnel-agent status` asks: at `--url`, else where AGENT_HEALTH_BIND leads to. Raises SettingsError."""
    source = _Source(line.given, environment)
    given = line.given.get("url")
    if isinstance(given, str):
        return source.checked_as("--url", given, values.http_origin)
    bind = source.one("health_bind", "", values.bind_address)
    host, port = bind or ("", DEFAULT_HEALTH_PORT)
    host = _LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _parsed(argv: Sequence[str]) -> options.CommandLine:
    try:
        return options.parse(argv)
    except options.UsageError as error:
        raise SettingsError(str(error)) from None


class _Source:
    """Looks a setting up on the command line, then in its variable; errors name both."""

    def __init__(self, given: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._given = given
        self._environment = environment

    def raw(self, name: str) -> str | None:
        """The text given for a single value, or None."""
        value = self._given[name]
        return str(value) if value is not None else self._environment.get(_variable(name))

    def given(self, name: str) -> bool:
        """Whether it is on the command line."""
        return self._given[name] is not None

    def one(self, name: str, default: str, parse: Callable[[str], Value]) -> Value:
        """One value, parsed."""
        raw = self.raw(name)
        return self.checked(name, default if raw is None else raw, parse)

    def many(self, name: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """All values: of a repeated option, or of a variable, separated by commas or blanks."""
        value = self._given[name]
        texts = value if isinstance(value, list) else re.split(r"[,\s]+", self._environment.get(_variable(name), ""))
        return tuple(self.checked(name, text, parse) for text in texts if text)

    def checked(self, name: str, text: str, parse: Callable[[str], Value]) -> Value:
        """`parse(text)`; an error begins with the setting's names."""
        return self.checked_as(f"--{name.replace('_', '-')} ({_variable(name)})", text, parse)

    def checked_as(self, names: str, text: str, parse: Callable[[str], Value]) -> Value:
        """The same for what has no variable."""
        try:
            return parse(text)
        except (ValueError, OSError, ServiceRuleError) as error:
            msg = f"{names}: {error}"
            raise SettingsError(msg) from None


def _variable(name: str) -> str:
    return "AGENT_ID" if name == "agent_id" else f"AGENT_{name.upper()}"


def _gateways(source: _Source, environment: Mapping[str, str]) -> tuple[GatewayAddress, ...]:
    gateways = source.many("gateway", lambda text: _gateway(text, environment))
    if not gateways:
        raise SettingsError("--gateway (AGENT_GATEWAY): is required; for example https://gateway.example.com")
    if len({gateway.url for gateway in gateways}) < len(gateways):
        raise SettingsError("--gateway (AGENT_GATEWAY): the same URL is given twice")
    return gateways


def _gateway(text: str, environment: Mapping[str, str]) -> GatewayAddress:
    url = values.gateway_url(text)
    host = url.hostname or ""
    proxy = proxy_for(host, url.port or 443, environment) if url.scheme == "wss" else None
    if proxy is not None and not is_usable(proxy):
        raise ValueError(
            "the proxy in HTTPS_PROXY or ALL_PROXY is no http://, https://, socks4:// or socks5:// URL with a host"
        )
    return GatewayAddress(url.geturl(), f"{url.scheme}://{url.netloc}{url.path}", proxy)


def _token(source: _Source) -> tuple[str | None, Path | None]:
    """The command line wins over the environment, and on each the file over the value."""
    file = source.raw("token_file") if source.given("token_file") or not source.given("token") else None
    if file:
        return None, Path(file)
    token = source.raw("token")
    if not token:
        raise SettingsError("--token-file (AGENT_TOKEN_FILE) or --token (AGENT_TOKEN): one of them is required")
    if not _TOKEN.fullmatch(token):
        raise SettingsError("--token (AGENT_TOKEN): must be printable characters without blanks")
    return token, None


def _tls(source: _Source) -> ssl.SSLContext:
    insecure = source.one("insecure_skip_verify", "false", values.boolean)
    ca_file = source.raw("ca_file")
    if insecure:
        if ca_file:
            raise SettingsError("--ca-file (AGENT_CA_FILE): is of no use with --insecure-skip-verify")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is None:
        return ssl.create_default_context()
    return source.checked("ca_file", ca_file, _context_of)


def _context_of(ca_file: str) -> ssl.SSLContext:
    try:
        check_pem_file(Path(ca_file))
        return ssl.create_default_context(cafile=ca_file)
    except NotTextError as error:
        msg = f"{ca_file} {error}"
        raise ValueError(msg) from None
    except OSError as error:
        msg = f"{ca_file} is no file with PEM certificates: {error.strerror or type(error).__name__}"
        raise ValueError(msg) from None

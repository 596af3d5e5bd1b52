"""The agent's settings: read once from the command line and the environment, and checked as a whole.

The only module of the agent that reads the environment; `options.py` reads the command line. Never starts anything; it
reads the token file, to report a bad one at once. Invariants: every part of what `read` returns is valid; an error
names the option and its variable and says what would be valid; no error and no repr contains a secret.
"""

import os
import secrets
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunnel.agent import gateways, options, token, user_settings, values, view
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.publish.place import Place
from tunnel.agent.publish.plan import REWRITE, Plan, PlanError, Rewrites
from tunnel.agent.publish.targets import Target
from tunnel.agent.service.services import AllowPattern, ServiceEntry
from tunnel.agent.source import SettingsError, Source, checked_as, names_of, variable_of
from tunnel.agent.token import Token
from tunnel.text import NotTextError, check_pem_file

DEFAULT_HEALTH_PORT = 8081
"""Where `tunnel-agent status` asks unless told otherwise; the chart's default."""
PUBLISHER_GRACE_SECONDS = 0.5
"""What a running request may take once a person has pressed Ctrl-C, who waits for it."""
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)
"""An address of every interface is reached by this machine's own."""


@dataclass(slots=True, frozen=True)
class AgentSettings:
    """Everything the agent is told. Times in seconds."""

    gateways: tuple[GatewayAddress, ...]
    cluster: str
    agent_id: str
    hostname: str
    token: Token
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
        """The token to present now. Raises SettingsError."""
        return self.token.read()


@dataclass(slots=True, frozen=True)
class LoginSettings:
    """What `tunnel-agent login` is told."""

    file: Path
    """The user's settings."""
    gateway: str
    """Its URL, as the user wrote it."""
    address: GatewayAddress
    cluster: str
    """Empty: the one that the token is for."""
    hostname: str
    tls: ssl.SSLContext
    token_file: Path | None
    """None: the token comes from standard input."""
    check: bool
    instead: tuple[str, ...]
    """Variables that are set, and used in place of the file."""

    def with_token(self, text: str) -> AgentSettings:
        """Those of an agent that would use this token."""
        return AgentSettings((self.address,), self.cluster, "login", self.hostname, Token(text), tls=self.tls)


@dataclass(slots=True, frozen=True)
class PublishSettings:
    """What `tunnel-agent http` is told."""

    agent: AgentSettings
    """Of its links: they reach what is published, and nothing else."""
    plan: Plan
    name_seed: str
    warnings: tuple[str, ...]
    """What the user should know before it starts."""


def read(argv: Sequence[str], environment: Mapping[str, str], hostname: str) -> AgentSettings:
    """The settings: from `argv`, else `environment`, else the defaults. Raises SettingsError.

    The command does not matter. `--help` and `--version` exit.
    """
    return of(_parsed(argv), environment, hostname)


def of(line: options.CommandLine, environment: Mapping[str, str], hostname: str) -> AgentSettings:
    """The settings of a command line that was read. Raises SettingsError."""
    source = Source(line.given, environment)
    dialect = source.one("dialect", "yamux", values.dialect)
    file = user_settings.place(environment)
    addresses = gateways.given(source, file)
    cluster = source.one("cluster", "", values.cluster)
    settings = AgentSettings(
        gateways=addresses,
        cluster=cluster,
        token=token.given(source, file, addresses),
        agent_id=source.one("agent_id", f"{hostname}-{secrets.token_hex(4)}"[-128:], values.agent_id),
        hostname=hostname,
        dialect=dialect,
        services=source.many("service", ServiceEntry.parse),
        allow=source.many("allow", AllowPattern.parse),
        cluster_domain=source.one("cluster_domain", "cluster.local", values.domain),
        api_hosts=_api_hosts(environment),
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


def for_login(line: options.CommandLine, environment: Mapping[str, str], hostname: str) -> LoginSettings:
    """What `login` is told. Raises SettingsError."""
    source = Source(line.given, environment)
    if source.given("token"):
        raise SettingsError(
            "--token: others on this machine can see it: give --token-file, or type the token when asked"
        )
    file = user_settings.place(environment)
    if file is None:
        raise SettingsError("this user has no home directory: set HOME or XDG_CONFIG_HOME")
    names, texts = names_of("gateway"), source.many("gateway", str)
    if not texts:
        names, texts = f"{file}: gateway", tuple(filter(None, (user_settings.load(file).gateway,)))
    if len(texts) != 1:
        raise SettingsError(
            "--gateway (AGENT_GATEWAY): login needs exactly one; for example https://gateway.example.com"
        )
    (gateway,) = texts
    variables = map(variable_of, ("gateway", "token_file", "token"))
    return LoginSettings(
        file=file,
        gateway=gateway,
        address=checked_as(names, gateway, lambda text: gateways.address(text, environment)),
        cluster=source.one("cluster", "", values.any_cluster),
        hostname=hostname,
        tls=_tls(source),
        token_file=Path(str(line.given["token_file"])) if source.given("token_file") else None,
        check=not source.given("no_check"),
        instead=tuple(variable for variable in variables if environment.get(variable)),
    )


def login_of_process(line: options.CommandLine) -> LoginSettings:
    """The same for this process."""
    return for_login(line, os.environ, socket.gethostname())


def user_file_of_process() -> Path | None:
    """Where this user's settings are."""
    return user_settings.place(os.environ)


def for_publishing(line: options.CommandLine, environment: Mapping[str, str], hostname: str) -> PublishSettings:
    """What `http` is told. Raises SettingsError."""
    source = Source(line.given, environment)
    of_no_use = next((name for name in options.NOT_OF_HTTP if source.given(name)), None)
    if of_no_use is not None:
        raise SettingsError(
            f"--{of_no_use.replace('_', '-')}: has no effect on http, which publishes its TARGETs: leave it out"
        )
    plan = _plan(source)
    file = user_settings.place(environment)
    addresses = gateways.given(source, file)
    user = environment.get("USER") or environment.get("USERNAME") or ""
    seed = user_settings.name_seed(file, hostname, user, gives_names=plan.asks_for_names)
    agent = AgentSettings(
        gateways=addresses,
        cluster=source.one("cluster", "", values.any_cluster),
        agent_id=plan.agent_id(hostname, seed.seed),
        hostname=hostname,
        token=token.given(source, file, addresses),
        services=plan.services,
        api_hosts=_api_hosts(environment),
        grace_seconds=PUBLISHER_GRACE_SECONDS,
        tls=_tls(source),
        log_format=source.one("log_format", "text", values.choice("text", "json")),
        log_level=source.one("log_level", "warning", values.choice("debug", "info", "warning", "error")),
    )
    agent.read_token()
    return PublishSettings(agent, plan, seed.seed, tuple(filter(None, (agent.token.warning, seed.warning))))


def publishing_of_process(line: options.CommandLine) -> PublishSettings:
    """The same for this process."""
    return for_publishing(line, os.environ, socket.gethostname())


def look(environment: Mapping[str, str] = os.environ) -> view.Look:
    """What the environment says of the terminal (https://no-color.org)."""
    return view.Look(moves=environment.get("TERM", "") not in {"", "dumb"}, colours=not environment.get("NO_COLOR"))


def url_of_status(line: options.CommandLine, environment: Mapping[str, str] = os.environ) -> str:
    """Where `tunnel-agent status` asks: at `--url`, else where AGENT_HEALTH_BIND leads to. Raises SettingsError."""
    source = Source(line.given, environment)
    given = line.given.get("url")
    if isinstance(given, str):
        return checked_as("--url", given, values.http_origin)
    bind = source.one("health_bind", "", values.bind_address)
    host, port = bind or ("", DEFAULT_HEALTH_PORT)
    host = _LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _parsed(argv: Sequence[str]) -> options.CommandLine:
    try:
        return options.parse(argv)
    except options.UsageError as error:
        raise SettingsError(str(error)) from None


def _plan(source: Source) -> Plan:
    """What `http` publishes; nothing of it has a variable."""
    rewrites = Rewrites(
        host_header=source.option("host_header") or REWRITE,
        strip_prefix=source.given("strip_prefix"),
        add_prefix=source.option("add_prefix") or "",
        https_redirect=source.given("https_redirect"),
    )
    targets = [checked_as("TARGET", text, Target.parse) for text in source.options("targets")]
    places = [checked_as("--host", text, Place.parse) for text in source.options("host")]
    try:
        return Plan.of(targets, places, rewrites)
    except PlanError as error:
        raise SettingsError(str(error)) from None


def _api_hosts(environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(filter(None, (environment.get("KUBERNETES_SERVICE_HOST", "").strip(),)))


def _tls(source: Source) -> ssl.SSLContext:
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

"""The gateway's configuration: one TOML file and `GATEWAY_...` variables, read once and checked whole.

Only this module reads the environment on the gateway's side. A wrong key, type or value raises `ConfigurationError`
whose text names the key and what would be valid; nothing is half applied.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from app.routes import Route, RouteTable, normalise_host
from tunnel import tls
from tunnel.errors import TlsFailedError
from tunnel.port import Target

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*")
_PATH = re.compile(r"/|(/(?!\.\.?(/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
"""Segments without empty ones, dots and escapes: a prefix that reads in one way only."""
_PREFIX = "GATEWAY_"

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class ConfigurationError(Exception):
    """The configuration is wrong; one line that names the key and what is valid."""


class AgentEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[agents]]` entry: a token and the clusters that it may serve."""

    token: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    token_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None
    clusters: Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1)]
    revoked: bool = False


class RouteEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[routes]]` entry."""

    host: str
    path: str = "/"
    cluster: Annotated[str, msgspec.Meta(min_length=1)]
    namespace: str
    service: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    scheme: Literal["http", "https"] = "http"
    verify: bool = True
    ca_file: str | None = None
    server_name: str | None = None


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The TOML file as it is written. Every plain key is also a `GATEWAY_...` variable, which wins."""

    public_url: str | None = None
    control_hosts: list[str] | None = None
    trusted_proxies: list[str] = []
    reconnect_grace: Annotated[float, msgspec.Meta(ge=0, le=60)] = 3.0
    response_head_timeout: Seconds = 60.0
    upgrade_timeout: Seconds = 10.0
    shutdown_grace: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 10.0
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1024 * 1024 * 1024)] = 10 * 1024 * 1024
    max_window_bytes: Annotated[int, msgspec.Meta(ge=262_144, le=64 * 1024 * 1024)] = 16 * 1024 * 1024
    held_bytes_limit: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 256 * 1024 * 1024
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    agents: list[AgentEntry] = []
    routes: list[RouteEntry] = []


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of a token may claim."""

    clusters: tuple[str, ...]
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings, checked. Times in seconds, sizes in bytes."""

    public_url: str | None = None
    """What agents are told to dial (`http(s)://host[:port][/prefix]`); None: as they reached us."""
    control_hosts: frozenset[str] = frozenset({"localhost"})
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    reconnect_grace: float = 3.0
    response_head_timeout: float = 60.0
    upgrade_timeout: float = 10.0
    shutdown_grace: float = 10.0
    max_message_bytes: int = 10 * 1024 * 1024
    max_window_bytes: int = 16 * 1024 * 1024
    held_bytes_limit: int = 256 * 1024 * 1024
    log_format: str = "text"
    log_level: str = "info"
    grants: Mapping[bytes, Grant] = field(default_factory=dict)
    """By SHA-256 of the token."""
    routes: RouteTable = field(default_factory=lambda: RouteTable(()))

    def is_routed(self, host: str) -> bool:
        """Whether a normalised host belongs to services; a control host never does, wildcard or not."""
        return self.routes.of_host(host) is not None and host not in self.control_hosts


def token_hash(token: str | bytes) -> bytes:
    """What is kept of a token: 32 bytes. Tokens are long random strings, so no salt and no slow hash is needed."""
    return sha256(token.encode() if isinstance(token, str) else token).digest()


def load(path: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the file (`path`, else GATEWAY_CONFIG, else none) and the variables. Raises ConfigurationError."""
    environment = os.environ if environment is None else environment
    path = path or environment.get(_PREFIX + "CONFIG") or None
    written: dict[str, object] = {}
    if path is not None:
        try:
            written = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: not TOML: {error}") from None
    origin = path or "environment"
    for name in _plain_keys():
        value = environment.get(_PREFIX + name.upper())
        if value is not None:
            written[name] = _from_text(name, value)
    try:
        file = msgspec.convert(written, File)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{origin}: {_readable(error, written)}") from None
    try:
        return _checked(file, Path(path).parent if path else Path())
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: {error}") from None


def _plain_keys() -> list[str]:
    return [info.name for info in msgspec.structs.fields(File) if info.name not in ("agents", "routes")]


def _from_text(name: str, value: str) -> object:
    kind = next(info.type for info in msgspec.structs.fields(File) if info.name == name)
    if name in ("control_hosts", "trusted_proxies"):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{_PREFIX}{name.upper()}={value!r}: {error}") from None


def _readable(error: msgspec.ValidationError, written: Mapping[str, object]) -> str:
    """`routes[0].port: Expected ...` out of msgspec's `Expected ... - at `$.routes[0].port``."""
    text, _, where = str(error).partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    if "unknown field" in text:
        struct = {"agents": AgentEntry, "routes": RouteEntry}.get(key.split("[")[0], File)
        text += "; valid keys: " + ", ".join(sorted(struct.__struct_fields__))
    elif "required field" not in text and key and "[" not in key:
        text += f", got {written.get(key)!r}"
    return f"{key}: {text}" if key else text


def _checked(file: File, folder: Path) -> Settings:
    public_host = None
    public_url = None
    if file.public_url is not None:
        public_url, public_host = _public_url(file.public_url)
    hosts = file.control_hosts
    if hosts is None:
        hosts = ["localhost", public_host] if public_host else ["localhost"]
    control = frozenset(map(normalise_host, hosts))
    for index, host in enumerate(hosts):
        if not _HOST.fullmatch(normalise_host(host)) and not _is_address(host):
            raise ConfigurationError(f"control_hosts[{index}]: {host!r} is not a host name or IP address")
    return Settings(
        public_url=public_url,
        control_hosts=control,
        trusted_proxies=tuple(_network(index, value) for index, value in enumerate(file.trusted_proxies)),
        reconnect_grace=file.reconnect_grace,
        response_head_timeout=file.response_head_timeout,
        upgrade_timeout=file.upgrade_timeout,
        shutdown_grace=file.shutdown_grace,
        max_message_bytes=file.max_message_bytes,
        max_window_bytes=file.max_window_bytes,
        held_bytes_limit=file.held_bytes_limit,
        log_format=file.log_format,
        log_level=file.log_level,
        grants=_grants(file.agents),
        routes=_routes(file.routes, control, folder),
    )


def _public_url(value: str) -> tuple[str, str]:
    """The URL without a trailing slash, its scheme in lower case, and its host."""
    try:
        url = urlsplit(value)
        valid = (
            url.scheme in ("http", "https") and bool(url.hostname) and not (url.query or url.fragment or url.username)
        )
        _ = url.port  # raises for one that is no number of a port
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"public_url: {value!r} is not valid; write http://host[:port][/prefix] or https://..."
        )
    return f"{url.scheme}://{url.netloc}{url.path}".rstrip("/"), url.hostname or ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _network(index: int, value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"trusted_proxies[{index}]: {value!r} is neither an IP address nor a network like 10.0.0.0/8"
        ) from None


def _grants(entries: list[AgentEntry]) -> dict[bytes, Grant]:
    grants: dict[bytes, Grant] = {}
    for index, entry in enumerate(entries):
        if (entry.token is None) == (entry.token_sha256 is None):
            raise ConfigurationError(f"agents[{index}]: give either token or token_sha256")
        digest = token_hash(entry.token) if entry.token is not None else bytes.fromhex(entry.token_sha256 or "")
        if digest in grants:
            raise ConfigurationError(f"agents[{index}].token: the same token stands in an entry before")
        grants[digest] = Grant(clusters=tuple(entry.clusters), revoked=entry.revoked)
    return grants


def _routes(entries: list[RouteEntry], control: frozenset[str], folder: Path) -> RouteTable:
    routes: list[Route] = []
    seen: set[tuple[str, bytes]] = set()
    for index, entry in enumerate(entries):
        where = f"routes[{index}]"
        host = normalise_host(entry.host)
        if not _HOST.fullmatch(host) or len(host) > 253:
            raise ConfigurationError(
                f"{where}.host: {entry.host!r} is not valid; write a host name, or *. and a domain for its subdomains"
            )
        if host in control:
            raise ConfigurationError(f"{where}.host: {host} is a control host and cannot be routed")
        if not _PATH.fullmatch(entry.path):
            raise ConfigurationError(f"{where}.path: {entry.path!r} is not valid; write a prefix like / or /api")
        for key, label in (("namespace", entry.namespace), ("service", entry.service)):
            if not _LABEL.fullmatch(label):
                raise ConfigurationError(f"{where}.{key}: {label!r} is not a DNS label (a-z, 0-9, -; at most 63)")
        if (entry.namespace, entry.service) == ("default", "kubernetes"):
            raise ConfigurationError(f"{where}.service: the Kubernetes API is never a target")
        if entry.scheme == "http" and (entry.ca_file or entry.server_name or not entry.verify):
            raise ConfigurationError(f'{where}: ca_file, server_name and verify belong to scheme = "https"')
        ca_file = str(folder / entry.ca_file) if entry.ca_file else None
        if entry.scheme == "https":
            try:
                tls.client_context(ca_file=ca_file, verify=entry.verify)  # made now, for it reads files
            except TlsFailedError as error:
                raise ConfigurationError(f"{where}.ca_file: {error}") from None
        path = entry.path.encode()
        if (host, path) in seen:
            raise ConfigurationError(f"{where}: {host}{entry.path} is routed by an entry before")
        seen.add((host, path))
        target = Target(
            cluster=entry.cluster,
            namespace=entry.namespace,
            service=entry.service,
            port=entry.port,
            scheme=entry.scheme,
            verify=entry.verify,
            ca_file=ca_file,
            server_name=entry.server_name,
        )
        routes.append(Route(host=host, path=path, target=target))
    return RouteTable(routes)

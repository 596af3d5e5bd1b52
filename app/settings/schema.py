"""Every key of the configuration, with its type and its bounds. What the values mean is checked elsewhere.

A key that is absent takes its default from `Settings` or `Policy`. An optional limit is unlimited when it is absent.
0 is refused; a route that lifts the file's limit says `"unlimited"`.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MIB = 1024 * 1024

Text = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"\A[^\x00-\x1f\x7f]+\Z",
        description="a string of at least one character, without control characters",
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description="seconds, above 0 and at most 86400")]
Grace = Annotated[float, Meta(ge=0, le=86_400, description="seconds, from 0 to 86400")]
PerSecond = Annotated[float, Meta(gt=0, le=1e12, description="a number per second above 0")]
PerMinute = Annotated[float, Meta(ge=1, le=60_000, description="a number per minute, from 1 to 60000")]
Count = Annotated[int, Meta(ge=1, le=2**53, description="a whole number, 1 or more")]
MessageBytes = Annotated[int, Meta(ge=1024, le=1024 * MIB, description="bytes, from 1024 to 1073741824")]
WindowBytes = Annotated[int, Meta(ge=262_144, le=64 * MIB, description="bytes, from 262144 to 67108864")]
SpoolBytes = Annotated[int, Meta(ge=0, le=2**53, description="bytes, 0 or more; 0 turns it off")]
HeldBytes = Annotated[int, Meta(ge=MIB, le=2**53, description="bytes, 1048576 or more")]
Port = Annotated[int, Meta(ge=1, le=65_535, description="a whole number from 1 to 65535")]
ListenPort = Annotated[int, Meta(ge=0, le=65_535, description="a whole number from 0 to 65535; 0 for a free port")]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{64}\Z", description="64 hexadecimal digits")]
Unlimited = Literal["unlimited"]
BucketPrefix = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,32}\Z", description="1 to 32 letters, digits, - and _")]


class HeaderKeys(msgspec.Struct, kw_only=True):
    """`{ set = { name = "value" }, remove = ["name"] }`."""

    set: dict[str, str] = {}
    remove: list[str] = []


class PolicyKeys(msgspec.Struct, kw_only=True):
    """The fields of `Policy`: at the top of the file for all routes, in a route for that route."""

    origins: list[str] | UnsetType = UNSET
    allow_missing_origin: bool | UnsetType = UNSET
    allow_null_origin: bool | UnsetType = UNSET
    messages_per_second: PerSecond | Unlimited | UnsetType = UNSET
    bytes_per_second: PerSecond | Unlimited | UnsetType = UNSET
    rate_burst_seconds: Seconds | UnsetType = UNSET
    rate_limit_action: Literal["close", "slow"] | UnsetType = UNSET
    websocket_compression: Literal["pass", "decline"] | UnsetType = UNSET
    max_message_bytes: MessageBytes | UnsetType = UNSET
    max_body_bytes: Count | Unlimited | UnsetType = UNSET
    max_websockets: Count | Unlimited | UnsetType = UNSET
    max_websockets_per_client: Count | Unlimited | UnsetType = UNSET
    max_requests_per_client: Count | Unlimited | UnsetType = UNSET
    sticky: Literal["off", "cookie", "client"] | UnsetType = UNSET
    allow_trace: bool | UnsetType = UNSET
    upgrade_timeout: Seconds | UnsetType = UNSET
    response_head_timeout: Seconds | UnsetType = UNSET
    idle_timeout: Seconds | UnsetType = UNSET
    http_write_timeout: Seconds | UnsetType = UNSET
    websocket_write_timeout: Seconds | UnsetType = UNSET
    request_headers: HeaderKeys | UnsetType = UNSET
    response_headers: HeaderKeys | UnsetType = UNSET


class AgentEntry(msgspec.Struct, kw_only=True):
    """One `[[agents]]` entry: a token, and what its bearer may claim."""

    token: Text | None = None
    token_sha256: Digest | None = None
    token_file: Text | None = None
    clusters: Annotated[list[Text], Meta(min_length=1, description="a list of at least one name")]
    hosts: list[str] = []
    dialect: Literal["auto", "yamux", "json", "chunk"] = "auto"
    max_published: Annotated[int, Meta(ge=1, le=10_000, description="a whole number from 1 to 10000")] = 100
    revoked: bool = False


class RouteEntry(PolicyKeys, kw_only=True):
    """One `[[routes]]` entry."""

    host: str
    path: str = "/"
    cluster: Text
    namespace: str
    service: str
    port: Port
    scheme: Literal["http", "https"] = "http"
    verify: bool = True
    ca_file: Text | None = None
    server_name: Text | None = None
    host_header: Text | None = None
    strip_prefix: bool = False
    add_prefix: Text | None = None
    https_redirect: bool = False


class ClusterKeys(msgspec.Struct, kw_only=True):
    """`[cluster]`: several nodes. Every key is also a variable, `GATEWAY_CLUSTER_...`."""

    servers: list[str] | UnsetType
    user: Text | UnsetType = UNSET
    password_file: Text | UnsetType = UNSET
    credentials_file: Text | UnsetType = UNSET
    nkey_file: Text | UnsetType = UNSET
    ca_file: Text | UnsetType = UNSET
    certificate: Text | UnsetType = UNSET
    key: Text | UnsetType = UNSET
    bucket_prefix: BucketPrefix = "tunnel"
    replicas: Annotated[int, Meta(ge=1, le=5, description="a whole number from 1 to 5")] = 1
    node_name: Text | UnsetType = UNSET
    peer_bind: Text | UnsetType
    peer_url: Text | UnsetType = UNSET
    peer_secret_file: Text | UnsetType = UNSET
    peer_ca_file: Text | UnsetType = UNSET
    peer_certificate: Text | UnsetType = UNSET
    peer_key: Text | UnsetType = UNSET


class File(PolicyKeys, kw_only=True):
    """The whole file. Every key except the tables is also a `GATEWAY_...` variable, which overrides it.

    So are those of `[cluster]`.
    """

    host: str | UnsetType = UNSET
    port: ListenPort | UnsetType = UNSET
    public_url: str | UnsetType = UNSET
    control_hosts: list[str] | UnsetType = UNSET
    trusted_proxies: list[str] | UnsetType = UNSET
    proxy_fields: Literal["either", "x-forwarded", "forwarded"] | UnsetType = UNSET
    proxy_protocol: bool | UnsetType = UNSET
    reconnect_grace: Annotated[float, Meta(ge=0, le=60, description="seconds, from 0 to 60")] | UnsetType = UNSET
    max_waiting_requests: Count | UnsetType = UNSET
    ready_wait: Annotated[float, Meta(ge=0, le=300, description="seconds, from 0 to 300")] | UnsetType = UNSET
    drain_delay: Grace | UnsetType = UNSET
    shutdown_grace: Grace | UnsetType = UNSET
    max_window_bytes: WindowBytes | UnsetType = UNSET
    held_bytes_limit: HeldBytes | UnsetType = UNSET
    held_bytes_hard_limit: HeldBytes | UnsetType = UNSET
    spool_bytes_limit: SpoolBytes | UnsetType = UNSET
    max_connections: Count | UnsetType = UNSET
    max_websockets_per_cluster: Count | Unlimited | UnsetType = UNSET
    max_links_per_cluster: Count | UnsetType = UNSET
    max_links_per_token: Count | UnsetType = UNSET
    max_syncs_per_minute: PerMinute | UnsetType = UNSET
    link_ping_interval: Seconds | UnsetType = UNSET
    link_ping_timeout: Seconds | UnsetType = UNSET
    client_ping_interval: Seconds | UnsetType = UNSET
    client_ping_timeout: Seconds | UnsetType = UNSET
    state_dir: Text | UnsetType = UNSET
    admin_token_file: Text | UnsetType = UNSET
    admin_bind: str | UnsetType = UNSET
    agent_token_file: Text | UnsetType = UNSET
    publish_hosts: list[str] | UnsetType = UNSET
    tls_certificate: Text | UnsetType = UNSET
    tls_key: Text | UnsetType = UNSET
    log_format: Literal["text", "json"] | UnsetType = UNSET
    log_level: Literal["debug", "info", "warning", "error"] | UnsetType = UNSET
    cluster: ClusterKeys | UnsetType = UNSET
    agents: list[AgentEntry] = []
    routes: list[RouteEntry] = []


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a table. msgspec resolves all annotations anew each time it is asked."""
    return msgspec.structs.fields(kind)


@cache
def keys_of(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The types of a table's keys, by name, in their order of definition."""
    return MappingProxyType({info.name: info.type for info in fields_of(kind)})


PLAIN_KEYS = tuple(
    name for name in keys_of(File) if name not in ("agents", "routes", "cluster", "request_headers", "response_headers")
)
"""Keys that a variable can set."""

CLUSTER_KEYS = tuple(keys_of(ClusterKeys))
"""Those of `[cluster]`, which variables can set, too."""

"""`Settings`: the checked settings of one gateway process. Immutable: a reload makes another one."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from tunnel.wire import message_limits, messages

from ..rules.policy import DEFAULT_POLICY, Policy
from ..rules.proxies import Proxies, Vocabulary
from ..rules.routes import RouteTable
from .cluster import ClusterSettings
from .hosts import Network
from .tokens import Grant, token_hash

_MIB = 1024 * 1024
_CIRCLES = (
    "https_redirect is set, but nothing tells the gateway that clients came by https; set tls_certificate, or "
    "trusted_proxies for the proxy that ends TLS"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings. Times in seconds, sizes in bytes; None: unlimited, or off."""

    host: str = "127.0.0.1"
    """The public listener's address, and `port` its port. 0: a free one."""
    port: int = 8080
    public_url: str | None = None
    """The address that agents are told to dial (`http(s)://host[:port][/prefix]`). None: the one they reached us at."""
    control_hosts: frozenset[str] = frozenset({"localhost"})
    trusted_proxies: tuple[Network, ...] = ()
    proxy_fields: Vocabulary = "either"
    """In which fields they say who their clients are."""
    proxy_protocol: bool = False
    """Every connection to the public listener begins with a PROXY header, and comes from one of `trusted_proxies`."""
    policy: Policy = DEFAULT_POLICY
    """The defaults for routes that set nothing of their own."""
    max_connections: int | None = None
    """Of clients and agents. None: as many as the limit of open files and the memory leave room for."""
    max_websockets_per_cluster: int | None = None
    max_links_per_cluster: int = 64
    max_links_per_token: int = 256
    """Sixty-four agents of a cluster, and a token for several clusters: far above what anybody runs, and few enough
    that one more costs little."""
    max_syncs_per_minute: float = 30.0
    """Of one cluster's routes, by one token. Agents sync every few hours, and at each start."""
    reconnect_grace: float = 3.0
    max_waiting_requests: int = 1_000
    """Of one cluster; four times as many of all. Each holds its head and a task."""
    ready_wait: float = 0.0
    """How long a node that has just started is not ready while expected clusters have no link."""
    drain_delay: float = 0.0
    """How long a draining node is not ready but still serves: as long as a load balancer needs to notice."""
    shutdown_grace: float = 10.0
    max_window_bytes: int = 16 * _MIB
    held_bytes_limit: int = 256 * _MIB
    """The account's high mark: a thousand stalled streams at the initial window of 256 KiB."""
    held_bytes_hard_limit: int = 512 * _MIB
    spool_bytes_limit: int = 768 * _MIB
    """Temporary files for answers to slow clients, because agents without yamux have no flow control. One exchange may
    use a third: a download of 256 MiB passes, however slow its client is."""
    link_ping_interval: float = 1.0
    link_ping_timeout: float = 4.4
    """See `Timing` in tunnel/gateway/link.py. With 3 s of reconnect grace, clients of a frozen agent get an answer
    within 9 s."""
    client_ping_interval: float = 30.0
    client_ping_timeout: float = 60.0
    state_dir: str | None = None
    """The folder that keeps the learned routes over a restart. None: they are kept in memory only."""
    admin_token_hash: bytes | None = field(default=None, repr=False)
    """None: there is no admin token, and what needs it is off."""
    admin_token_file: str | None = None
    admin_bind: tuple[str, int] | None = None
    """A separate listener for what needs the admin token."""
    agent_token_file: str | None = None
    """The token of agents that may publish without an `[[agents]]` entry. None: no such token."""
    publish_hosts: tuple[str, ...] = ()
    """What they may publish: host patterns, as in a grant."""
    tls_certificate: str | None = None
    """The public listener's certificate file, with the chain. None: it speaks plain HTTP. Read by `certificates.py`."""
    tls_key: str | None = None
    tls_places: tuple[str, str] = field(default=("tls_certificate", "tls_key"), compare=False, repr=False)
    """What errors about these two begin with: where each was written."""
    log_format: str = "text"
    log_level: str = "info"
    cluster: ClusterSettings | None = None
    """How this node and others find each other. None: there are no others."""
    grants: Mapping[bytes, Grant] = field(default_factory=dict)
    """By SHA-256 of the token."""
    routes: RouteTable = field(default_factory=lambda: RouteTable(()))
    arguments: Mapping[str, object] = field(default_factory=dict, compare=False)
    """Keys that the command line gave. They override the file and the variables."""
    unknown_variables: tuple[str, ...] = field(default=(), compare=False)
    """What is said of `GATEWAY_...` variables that set nothing."""
    file: str | None = field(default=None, compare=False)
    """The file that was read. None: there are only variables."""
    files_read: tuple[str, ...] = field(default=(), compare=False)
    """`file`, and the token and CA files that it names. A change of any of them triggers a reload."""

    @property
    def proxies(self) -> Proxies | None:
        """Whose word about their clients is taken. None: nobody's."""
        return Proxies(self.trusted_proxies, self.proxy_fields) if self.trusted_proxies else None

    @property
    def server_message_bytes(self) -> int:
        """The longest WebSocket message the server must accept: the longest of any route, in the json dialect."""
        return max(message_limits.enveloped_bytes(self.longest_message_bytes), messages.ENVELOPE_LIMIT_BYTES)

    @property
    def longest_message_bytes(self) -> int:
        """The longest WebSocket message that any route allows."""
        return max(self.policy.max_message_bytes, *(route.policy.max_message_bytes for route in self.routes.routes), 0)

    def is_admin_token(self, token: str | bytes) -> bool:
        """Whether this is the admin token, compared in constant time. False when there is no admin token."""
        return self.admin_token_hash is not None and hmac.compare_digest(self.admin_token_hash, token_hash(token))

    def uncovered_clusters(self) -> list[str]:
        """Routed clusters that no agent's token covers: their routes can only answer 503."""
        covered = {name for grant in self.grants.values() if not grant.revoked for name in grant.clusters}
        return sorted({route.target.cluster for route in self.routes.routes} - covered)

    def warnings(self) -> tuple[str, ...]:
        """What is probably not meant, though it stops nothing: each one line that says what to do."""
        uncovered = (
            f"cluster {name} has routes, but no agent's token covers it; add it to an [[agents]] entry"
            for name in self.uncovered_clusters()
        )
        circles = (_CIRCLES,) if self._redirects_in_circles() else ()
        return (*self.unknown_variables, *uncovered, *circles)

    def _redirects_in_circles(self) -> bool:
        """Whether clients are sent to https, and no request can be known to have come by it."""
        return self.routes.redirects and self.tls_certificate is None and not self.trusted_proxies

    def summary(self) -> str:
        """`3 routes of 2 hosts, 1 agent token, admin token set`."""
        revoked = sum(grant.revoked for grant in self.grants.values())
        parts = [
            f"{_counted(len(self.routes.routes), 'route')} of {_counted(len(self.routes.hosts), 'host')}",
            _counted(len(self.grants), "agent token") + (f" ({revoked} revoked)" if revoked else ""),
            "admin token set" if self.admin_token_hash is not None else "no admin token",
        ]
        return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

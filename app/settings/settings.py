"""`Settings`: all that one gateway process was told, checked and immutable. A reload makes another one."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from tunnel.wire import messages

from ..rules.policy import DEFAULT_POLICY, Policy
from ..rules.routes import RouteTable
from .hosts import Network
from .tokens import Grant, token_hash

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings, checked. Times in seconds, sizes in bytes; None: unlimited, or off."""

    public_url: str | None = None
    """What agents are told to dial (`http(s)://host[:port][/prefix]`); None: as they reached us."""
    control_hosts: frozenset[str] = frozenset({"localhost"})
    trusted_proxies: tuple[Network, ...] = ()
    policy: Policy = DEFAULT_POLICY
    """What holds where a route says nothing of its own."""
    max_websockets_per_cluster: int | None = None
    reconnect_grace: float = 3.0
    drain_delay: float = 0.0
    """Not ready, but still serving, before a drain begins: as long as a balancer needs to notice."""
    shutdown_grace: float = 10.0
    max_window_bytes: int = 16 * _MIB
    held_bytes_limit: int = 256 * _MIB
    """The account's high mark: a thousand stalled streams at the first window of 256 KiB."""
    held_bytes_hard_limit: int = 512 * _MIB
    spool_bytes_limit: int = 768 * _MIB
    """Of answers that wait in temporary files for slow clients: agents without yamux have no flow control. A third of
    it for one exchange: downloads of 256 MiB pass, however slow their client."""
    link_ping_interval: float = 5.0
    link_ping_timeout: float = 6.0
    """5 + 6, and 3 s of grace: the clients of a frozen agent are told within 15 s."""
    client_ping_interval: float = 30.0
    client_ping_timeout: float = 60.0
    state_dir: str | None = None
    """Where what agents registered survives a restart; None: it is kept in memory."""
    admin_token_hash: bytes | None = field(default=None, repr=False)
    """None: everything that needs the admin token is off."""
    admin_token_file: str | None = None
    admin_bind: tuple[str, int] | None = None
    """A listener of its own for what needs the admin token."""
    log_format: str = "text"
    log_level: str = "info"
    grants: Mapping[bytes, Grant] = field(default_factory=dict)
    """By SHA-256 of the token."""
    routes: RouteTable = field(default_factory=lambda: RouteTable(()))
    file: str | None = field(default=None, compare=False)
    """Where this came from; None: from the environment alone."""
    files_read: tuple[str, ...] = field(default=(), compare=False)
    """`file`, and what it names: tokens and certificates. A change of any of them asks for a reload."""

    @property
    def server_message_bytes(self) -> int:
        """The longest WebSocket message that the server must take: any route's, as an agent without yamux sends it."""
        return max(messages.enveloped_bytes(self.longest_message_bytes), messages.ENVELOPE_LIMIT_BYTES)

    @property
    def longest_message_bytes(self) -> int:
        """The longest message of a service or client that any route lets pass."""
        return max(self.policy.max_message_bytes, *(route.policy.max_message_bytes for route in self.routes.routes), 0)

    def is_admin_token(self, token: str | bytes) -> bool:
        """Whether this is the admin token; never without one. Takes the same time for every wrong one."""
        return self.admin_token_hash is not None and hmac.compare_digest(self.admin_token_hash, token_hash(token))

    def uncovered_clusters(self) -> list[str]:
        """Routed clusters for which no agent has a token: their routes answer 503 for good."""
        covered = {name for grant in self.grants.values() if not grant.revoked for name in grant.clusters}
        return sorted({route.target.cluster for route in self.routes.routes} - covered)

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

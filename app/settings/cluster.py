"""`[cluster]`: how this node finds the engine (NATS) and the other nodes, and how they know each other."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The checked values of `[cluster]`. Files are named, not read: they are read again at each connection."""

    servers: tuple[str, ...]
    """NATS servers, `nats://host:port` or `tls://host:port`. They are tried in turn."""
    user: str | None = None
    password_file: str | None = None
    credentials_file: str | None = None
    """A user's JWT and seed, as `nsc` writes them."""
    nkey_file: str | None = None
    """A user's seed."""
    ca_file: str | None = None
    """Who vouches for the servers. None: the system's CAs. Given, the servers must use TLS."""
    certificate: str | None = None
    """This node's certificate for NATS, with the chain, and `key` for it."""
    key: str | None = None
    bucket_prefix: str = "tunnel"
    """Of the buckets' names: several gateways may share one account."""
    replicas: int = 1
    """How many NATS servers keep each bucket. More than one needs a NATS cluster of as many."""
    node_name: str = ""
    """For people only: a node is known by an id that is new at each start."""
    peer_bind: tuple[str, int] | None = None
    """The listener for other nodes. None: this node takes nothing from others."""
    peer_url: str | None = None
    """Where the others dial it, `http(s)://host:port`."""
    peer_secret_file: str | None = None
    """One or two secrets, a line each. The first is presented, all are accepted."""
    peer_ca_file: str | None = None
    """Who vouches for the other nodes' certificates. Given, each must present one."""
    peer_certificate: str | None = None
    peer_key: str | None = None

    @property
    def needs_tls(self) -> bool:
        """Whether a NATS server that speaks plain text is refused."""
        return self.ca_file is not None or self.certificate is not None

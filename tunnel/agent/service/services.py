"""What this agent may reach: decides for each routing header where to dial, or why not.

Never dials, resolves or reads the environment. Invariants: nothing is reachable that no entry and no pattern names;
names are checked to be DNS labels before they are used; `kubernetes.default` and the API server's addresses are refused
whatever the entries say, and addresses are checked again once names are resolved.
"""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tunnel.agent.service import addresses, entry_faults
from tunnel.agent.service.outages import Outages
from tunnel.wire.refusals import NOT_ALLOWED
from tunnel.wire.routing_header import TCP, RoutingHeader

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATTERN_PART = re.compile(r"[a-z0-9*-]{1,63}")
THIS_MACHINE = "localhost"
"""What a port alone means: both families' loopback addresses are tried."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")


class ServiceRuleError(ValueError):
    """A `--service` or `--allow` value that cannot be used; the text says what would be valid."""


class NotReachableError(Exception):
    """The service may not be reached from here; the text is for logs."""

    kind = NOT_ALLOWED


@dataclass(slots=True, frozen=True)
class Destination:
    """Where to dial: a host name or address literal, and a port."""

    host: str
    port: int
    by_pattern: bool = field(default=False, compare=False)
    """A pattern allows it, and its name is complete: the operator did not name what it resolves to."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True, frozen=True)
class ServiceEntry:
    """`NAME.NAMESPACE:PORT=HOST:PORT`: one service, and where it is. Without HOST it is on this machine."""

    service: str
    namespace: str
    port: int
    destination: Destination

    @classmethod
    def parse(cls, text: str) -> "ServiceEntry":
        """Parse one `--service` value. Raises ServiceRuleError."""
        wanted, _, where = text.partition("=")
        name, _, port_text = wanted.rpartition(":")
        service, _, namespace = name.partition(".")
        host, _, where_port = where.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host or THIS_MACHINE
        port, destination_port = _port(port_text), _port(where_port)
        if not (port and destination_port and _is_label(service) and _is_label(namespace) and is_host(host)):
            raise ServiceRuleError(entry_faults.of(text))
        if (service, namespace) == ("kubernetes", "default") or is_api_name(host):
            msg = f"{text!r} names the Kubernetes API server, which is never reachable through a stream"
            raise ServiceRuleError(msg)
        return cls(service, namespace, port, Destination(host, destination_port))


@dataclass(slots=True, frozen=True)
class AllowPattern:
    """`NAMESPACE/SERVICE:PORT`, each part with `*` for any run of characters, or a port number or `*`."""

    namespace: str
    service: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "AllowPattern":
        """Parse one `--allow` value. Raises ServiceRuleError."""
        names, _, port_text = text.rpartition(":")
        namespace, _, service = names.partition("/")
        port = None if port_text == "*" else _port(port_text)
        usable = _PATTERN_PART.fullmatch(namespace) and _PATTERN_PART.fullmatch(service)
        if not usable or (port is None and port_text != "*"):
            msg = f"{text!r} is not of the form NAMESPACE/SERVICE:PORT, where * may stand for any part"
            raise ServiceRuleError(msg)
        return cls(namespace, service, port)

    def matches(self, header: RoutingHeader) -> bool:
        """Whether the pattern names this header's service."""
        return (
            self.port in (None, header.port)
            and fnmatchcase(header.namespace, self.namespace)
            and fnmatchcase(header.service, self.service)
        )


class Services:
    """All that may be reached: exact entries first, then patterns over the cluster's DNS names."""

    def __init__(
        self,
        entries: tuple[ServiceEntry, ...] = (),
        patterns: tuple[AllowPattern, ...] = (),
        cluster_domain: str = "cluster.local",
        api_hosts: tuple[str, ...] = (),
    ) -> None:
        self.outages = Outages()
        """Those that refuse connections at the moment."""
        self._entries = {(entry.service, entry.namespace, entry.port): entry.destination for entry in entries}
        self._patterns = patterns
        self._domain = cluster_domain
        self._api_names = tuple(host.lower() for host in api_hosts if address_of(host) is None)
        self._api_addresses = frozenset(address for host in api_hosts if (address := address_of(host)))

    def __repr__(self) -> str:
        return f"<Services {len(self._entries)} exact, {len(self._patterns)} patterns>"

    @property
    def api_names(self) -> tuple[str, ...]:
        """API server hosts that are names: `dial` resolves them and compares addresses."""
        return self._api_names

    def destination_of(self, header: RoutingHeader) -> Destination:
        """Where to dial for `header`. Raises NotReachableError."""
        if header.protocol != TCP:
            msg = f"protocol {header.protocol} is not TCP"
            raise NotReachableError(msg)
        if not (_is_label(header.service) and _is_label(header.namespace)):
            raise NotReachableError("service or namespace is not a DNS label")
        if not header.port:
            raise NotReachableError("port 0 is no port")
        if (header.service, header.namespace) == ("kubernetes", "default"):
            raise NotReachableError("the Kubernetes API server is never reachable through a stream")
        found = self._entries.get((header.service, header.namespace, header.port))
        if found is None and any(pattern.matches(header) for pattern in self._patterns):
            found = Destination(self.dns_name(header), header.port, by_pattern=True)
        if found is None:
            raise NotReachableError("no --service entry and no --allow pattern names it")
        self.check_address(found.host)
        if found.host.lower().rstrip(".") in self._api_names:
            raise NotReachableError("the destination is the Kubernetes API server")
        return found

    def dns_name(self, header: RoutingHeader) -> str:
        """The service's name in the cluster's DNS."""
        return f"{header.service}.{header.namespace}.svc.{self._domain}"

    def check_address(self, host: str, more: frozenset[str] = frozenset()) -> None:
        """Refuse the API server's addresses, those in `more` too; names pass. Raises NotReachableError."""
        address = address_of(host)
        if address is not None and (address in self._api_addresses or address in more):
            raise NotReachableError("the destination is the Kubernetes API server's address")

    def check_resolved(self, destination: Destination, address: str, more: frozenset[str]) -> None:
        """Refuse what no name may resolve to: see `check_address` and `addresses`. Raises NotReachableError."""
        self.check_address(address, more)
        if destination.by_pattern and (why := addresses.why_never(address)) is not None:
            msg = f"it resolves to {address}, {why}, which no --allow reaches; use --service if it is meant"
            raise NotReachableError(msg)


def address_of(host: str) -> str | None:
    """The canonical spelling of the address that a literal leads to; None for a name."""
    address = addresses.parsed(host)
    return None if address is None else str(address)


def _is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether this may be dialled: a host name or an address."""
    return address_of(text) is not None or (_HOST.fullmatch(text) is not None and ".." not in text)


def is_api_name(host: str) -> bool:
    """Whether a name is `kubernetes.default`, alone or with a domain after it."""
    return host.lower().split(".")[:2] == ["kubernetes", "default"]


def _port(text: str) -> int | None:
    """The port number, or None where `text` is no valid one."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    port = int(text)
    return port if 0 < port < 65_536 else None

"""`[cluster]`: how this node finds the engine (NATS) and the other nodes, and how they know each other.

Without the table the gateway is one node. With it every file that it names must be there at the start; files are read
again at each connection, so what is in them may change.
"""

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import UNSET

from tunnel.text import NotTextError, decoded

from ..rules.shown import shown
from . import hosts
from .errors import Faults, KeyPath, WrongKeyError
from .pipes import A_PIPE, is_pipe
from .schema import ClusterKeys

SECRET_CHARACTERS = 16
"""The least length of a secret between nodes, as of the admin token."""

_FILE_BYTES = 1024 * 1024
_SEED = re.compile(r"SU[A-Z2-7]{56}")
_SEED_IN_LINES = re.compile(r"^SU[A-Z2-7]{56}\s*$", re.MULTILINE)
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True, repr=False)
class ClusterSettings:
    """The checked values of `[cluster]`."""

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
    """The listener for other nodes."""
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
        """Whether a NATS server that speaks plain text is refused, whatever its URL says."""
        return self.ca_file is not None or self.certificate is not None

    def __repr__(self) -> str:
        return f"<node {self.node_name} at {self.peer_url}, of {', '.join(self.servers)}>"


_SERVER = "write nats://host[:port], or tls://host[:port]"


def cluster_settings(keys: ClusterKeys, folder: Path, faults: Faults) -> ClusterSettings | None:
    """The settings of the table. File names are relative to `folder`. None: something is wrong, and in `faults`."""
    before = len(faults.found)
    if keys.servers == []:
        faults.add(WrongKeyError(_path("servers"), f"is empty; {_SERVER}"))
    servers = [
        faults.check(server_url, server, _path("servers", index))
        for index, server in enumerate(keys.servers if keys.servers is not UNSET else ())
    ]
    named = {name: str(folder / value) for name in FILES if (value := getattr(keys, name)) is not UNSET}
    for name, file in named.items():
        faults.check(partial(_read, FILES[name]), Path(file), _path(name))
    _agree(keys, faults)
    bind = None if keys.peer_bind is UNSET else faults.check(hosts.bind_address, keys.peer_bind, _path("peer_bind"))
    url = _peer_url(keys, bind, faults)
    if len(faults.found) > before or any(_path(name) in faults for name in keys.__struct_fields__):
        return None
    return ClusterSettings(
        servers=tuple(server for server in servers if server is not None),
        user=keys.user or None,
        bucket_prefix=keys.bucket_prefix,
        replicas=keys.replicas,
        node_name=keys.node_name or platform.node(),
        peer_bind=bind,
        peer_url=url,
        **named,
    )


def _path(name: str, *more: int) -> KeyPath:
    return ("cluster", name, *more)


def server_url(value: str, path: KeyPath) -> str:
    """One of `servers`, in full. It has no user and no password: they would stand in logs."""
    try:
        url = urlsplit(value)
        port = url.port or 4222
    except ValueError:
        raise WrongKeyError(path, _SERVER) from None
    if "@" in value:
        raise WrongKeyError(path, "the value has a user or a password in it; write them into user and password_file")
    if url.scheme not in ("nats", "tls") or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise WrongKeyError(path, f"{shown(value)} is not valid; {_SERVER}")
    host = hosts.listen_host(url.hostname, path)
    return f"{url.scheme}://[{host}]:{port}" if ":" in host else f"{url.scheme}://{host}:{port}"


def secrets_of(text: str) -> tuple[str, ...]:
    """The one or two secrets of a `peer_secret_file`. Raises ValueError, which says what to write."""
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not 1 <= len(found) <= 2:
        raise ValueError(f"has {len(found)} lines; write one secret, or two to change it, a line each")
    if any(len(secret) < SECRET_CHARACTERS or not secret.isascii() or not secret.isprintable() for secret in found):
        raise ValueError(f"has a secret that is not valid; valid: {SECRET_CHARACTERS} ASCII characters or more")
    if any(" " in secret for secret in found):
        raise ValueError("has a secret with a space in it; write one secret a line")
    return found


def _agree(keys: ClusterKeys, faults: Faults) -> None:
    """What goes together, and what does not."""

    def lacks(name: str) -> bool:
        return not _has(keys, name) and _path(name) not in faults

    for one, other in (("user", "password_file"), ("certificate", "key"), ("peer_certificate", "peer_key")):
        for given, missing in ((one, other), (other, one)):
            if _has(keys, given) and lacks(missing):
                faults.add(WrongKeyError(_path(given), f"needs {missing} as well; set both or neither"))
    ways = [name for name in ("user", "credentials_file", "nkey_file") if _has(keys, name)]
    if len(ways) > 1:
        text = f"{ways[0]} is set, too; a node has one of user, credentials_file and nkey_file"
        faults.add(WrongKeyError(_path(ways[1]), text))
    if _has(keys, "peer_ca_file") and lacks("peer_certificate"):
        faults.add(WrongKeyError(_path("peer_ca_file"), "needs peer_certificate as well, for this node to be known by"))
    if _has(keys, "peer_bind") and lacks("peer_secret_file") and lacks("peer_ca_file"):
        text = "needs peer_secret_file, or peer_ca_file with peer_certificate and peer_key, so that only nodes connect"
        faults.add(WrongKeyError(_path("peer_bind"), text))


def _has(keys: ClusterKeys, name: str) -> bool:
    return getattr(keys, name) is not UNSET


def _peer_url(keys: ClusterKeys, bind: tuple[str, int] | None, faults: Faults) -> str | None:
    """Where others dial this node: as it is written, else the address of `peer_bind`."""
    is_tls = _has(keys, "peer_certificate")
    if keys.peer_url is not UNSET:
        return faults.check(partial(_written_peer_url, is_tls=is_tls), keys.peer_url, _path("peer_url"))
    if bind is None:
        return None
    host, port = bind
    if host in _ANY:
        text = f"is missing; {host} of peer_bind is no address that others can dial: write http://host:port"
        faults.add(WrongKeyError(_path("peer_url"), text))
        return None
    return f"{'https' if is_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _written_peer_url(value: str, path: KeyPath, *, is_tls: bool) -> str:
    url, _ = hosts.public_url(value, path)
    parts = urlsplit(url)
    if parts.path or parts.port is None or "@" in parts.netloc:
        raise WrongKeyError(path, f"{shown(value)} is not valid; write http://host:port or https://host:port")
    if is_tls and parts.scheme != "https":
        raise WrongKeyError(path, f"{shown(value)} is not valid with peer_certificate; write https://host:port")
    return url


def _read(check: Callable[[str], object], file: Path, path: KeyPath) -> None:
    """Whether a file is there, can be read again and again, and has in it what it should."""
    if is_pipe(file):
        raise WrongKeyError(path, f"{file} {A_PIPE}")
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES + 1)
        if len(data) > _FILE_BYTES:
            raise WrongKeyError(path, f"{file} is too long")
        check(decoded(data))
    except OSError as error:
        raise WrongKeyError(path, f"{file} cannot be read: {error.strerror}") from None
    except NotTextError as error:
        raise WrongKeyError(path, f"{file} {error}") from None
    except ValueError as error:
        raise WrongKeyError(path, f"{file} {error}") from None


def _password(text: str) -> None:
    if not text.strip() or len(text.strip().splitlines()) > 1:
        raise ValueError("has no password in one line; write it there, and nothing else")


def _nkey(text: str) -> None:
    if not _SEED.fullmatch(text.strip()):
        raise ValueError("has no user's seed; write it there (58 characters that begin with SU), and nothing else")


def _credentials(text: str) -> None:
    if "BEGIN NATS USER JWT" not in text or not _SEED_IN_LINES.search(text):
        raise ValueError("has no JWT and seed of a user; write what `nsc generate creds` gives")


def _certificate(text: str) -> None:
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError("has no certificate; write it in PEM")


def _key(text: str) -> None:
    if "PRIVATE KEY-----" not in text or "ENCRYPTED" in text:
        raise ValueError("has no private key that can be used; write it in PEM, without a passphrase")


FILES: dict[str, Callable[[str], object]] = {
    "password_file": _password,
    "credentials_file": _credentials,
    "nkey_file": _nkey,
    "ca_file": _certificate,
    "certificate": _certificate,
    "key": _key,
    "peer_secret_file": secrets_of,
    "peer_ca_file": _certificate,
    "peer_certificate": _certificate,
    "peer_key": _key,
}
"""Keys that name a file, with what looks at its text and raises ValueError."""

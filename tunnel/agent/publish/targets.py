"""What `tunnel-agent http TARGET` publishes: a service as its user names it, and the words for it on the link.

Pure. A port alone means this machine, whichever loopback address answers. The gateway names a target like any service,
by namespace, service and port; these names are made here, and lead only where the user said. The Kubernetes API server
is refused, as everywhere.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from tunnel.agent.service.services import THIS_MACHINE, ServiceEntry, address_of, is_api_name, is_host
from tunnel.wire.publishing import WantedRoute

NAMESPACE: Final = "published"
FORMS: Final = "5173, localhost:5173, 192.168.1.5:8080 or https://host:8443"

_PORTS: Final = {"http": 80, "https": 443, "https+insecure": 443}
"""By scheme: the port when none is written."""
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared with, not listened on)
"""What a server that listens on all addresses prints as its own; here they mean this machine."""
_SERVICE_CHARACTERS: Final = 63
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class TargetError(ValueError):
    """A text that names no target. It says what would."""


@dataclass(slots=True, frozen=True)
class Target:
    """One service: `scheme` is `http` or `https`, `host` is lower case and has no brackets."""

    scheme: str
    host: str
    port: int
    verify: bool = True
    """For https: its certificate is checked."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises TargetError."""
        scheme, url = _read(text)
        try:
            port = url.port
        except ValueError:
            raise TargetError(f"{text!r}: a port is a number from 1 to 65535") from None
        host = (url.hostname or "").rstrip(".")
        if url.path.strip("/") or url.query or url.fragment:
            raise TargetError(
                f"{text!r} has a path: write the address alone; --add-prefix /x puts a path in front of all paths"
            )
        if "@" in url.netloc:
            raise TargetError("a target cannot have credentials: the service would not get them")
        if host.isdigit() and port is None:
            raise TargetError(f"{text!r} has no host: write {scheme or 'http'}://{THIS_MACHINE}:{host}")
        if port is None and not scheme:
            raise TargetError(f"{text!r} has no port: write one of the forms {FORMS}")
        if port == 0:
            raise TargetError(f"{text!r}: a port is a number from 1 to 65535")
        if not host or host in _EVERYWHERE:
            host = THIS_MACHINE
        if not is_host(host):
            raise TargetError(f"{text!r} is not one of the forms {FORMS}")
        if is_api_name(host):
            raise TargetError(f"{text!r} is the Kubernetes API server, which cannot be published")
        secure = scheme.startswith("https")
        return cls("https" if secure else "http", host, port or _PORTS[scheme], verify=scheme != "https+insecure")

    def __str__(self) -> str:
        return f"{self.scheme}://{self._bracketed}:{self.port}"

    @property
    def key(self) -> str:
        """Its short name, the same at every start: `5173`, `192.168.1.5:8080`, `https://localhost:8443`."""
        if self.scheme != "http" or len(str(self)) > 100:
            return str(self) if len(str(self)) <= 100 else f"{self.scheme}://{_digest(self.host)}:{self.port}"
        return str(self.port) if self.host == THIS_MACHINE else f"{self._bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """Its Host: the host, with the port unless it is the scheme's default."""
        host = re.sub(r"%[^]]*", "", self._bracketed)  # the zone of an address means something on this machine only
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def service(self) -> str:
        """The DNS label that stands for its host; no two hosts have the same."""
        label = re.sub(r"[.:]", "-", self.host)
        if label.replace("-", ".") == self.host and _LABEL.fullmatch(label) and len(label) <= _SERVICE_CHARACTERS:
            return label
        readable = re.sub(r"[^a-z0-9]+", "-", label).strip("-")[:40].rstrip("-")
        return f"{readable}-{_digest(self.host)}" if readable else _digest(self.host)

    @property
    def entry(self) -> ServiceEntry:
        """What makes it reachable."""
        return ServiceEntry.parse(f"{self.service}.{NAMESPACE}:{self.port}={self._bracketed}:{self.port}")

    def route(self, key: str) -> WantedRoute:
        """The route to it, with neither host nor rewrites."""
        return WantedRoute(
            key=key,
            namespace=NAMESPACE,
            service=self.service,
            port=self.port,
            scheme=self.scheme,
            verify=self.verify,
            server_name=self.host if self.scheme == "https" and self.verify else "",
        )

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def _read(text: str) -> tuple[str, SplitResult]:
    """The scheme, empty where none is written, and the rest."""
    if text.isascii() and text.isdigit():
        text = f":{text}"
    scheme, slashes, rest = text.rpartition("://")
    scheme = scheme.lower()
    if slashes and scheme not in _PORTS:
        raise TargetError(
            f"{text!r}: the schemes are http, https, and https+insecure, whose certificate is not checked"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", rest):
        raise TargetError(f"{text!r} is not one of the forms {FORMS}")
    try:
        url = urlsplit(f"//{rest}")
    except ValueError:
        raise TargetError(f"{text!r} is not one of the forms {FORMS}") from None
    if url.hostname and ":" in url.hostname and address_of(url.hostname) is None:
        raise TargetError(f"{text!r} is not one of the forms {FORMS}")
    return scheme, url


def _digest(host: str) -> str:
    return hashlib.sha256(host.encode()).hexdigest()[:8]

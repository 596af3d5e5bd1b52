"""How a route changes addresses on the way to its service and back: one frozen `Rewrite` for each route that does.

A service that was written for one address (a development server, say) sees that address, and its clients see the
route's. This file says what is wanted, whether it is valid, and which requests are refused for it;
`app/public/rewriting.py` does it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Self

from . import problems
from .addresses import path_moved
from .hosts import HOST_FIELD_BYTES, NAME
from .paths import PREFIX_CHARACTERS, has_dot_segments, is_prefix
from .problems import Problem
from .request import Request
from .shown import shown

_HOST: Final = re.compile(
    rf"(?:{NAME}\.?|\[(?P<six>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE | re.ASCII
)


class WrongRewriteError(ValueError):
    """Values are not valid. The text names the keys, and says what is valid."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {why}" for key, why in faults.items()))
        self.faults = faults
        """key -> what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """See the module. What is empty or off changes nothing."""

    host_header: bytes | None = None
    """The Host that the service sees, with its port; fields that name the public host follow it. None: as asked."""
    strip_prefix: bytes = b""
    """What is cut off the path's front: `/app`, without a slash at its end."""
    add_prefix: bytes = b""
    """What is then put in front of the path: `/base`, without a slash at its end."""
    https_redirect: bool = False
    """Clients that came by http are sent to https."""
    scheme: str = "http"
    """How the service is reached, which is the scheme of its own address."""

    @property
    def changes_paths(self) -> bool:
        """Whether the service gets other paths than its clients ask for."""
        return bool(self.strip_prefix or self.add_prefix)

    @property
    def changes_addresses(self) -> bool:
        """Whether the service sees another address than its clients ask for."""
        return self.host_header is not None or self.changes_paths

    @property
    def keys(self) -> dict[str, str | bool]:
        """By the keys of a `[[routes]]` entry; those that it does not have are left out."""
        host = (self.host_header or b"").decode("ascii")
        values = (
            ("host_header", host), ("strip_prefix", bool(self.strip_prefix)),
            ("add_prefix", self.add_prefix.decode("ascii")), ("https_redirect", self.https_redirect),
        )  # fmt: skip
        return {key: value for key, value in values if value}

    def path_of(self, request: Request) -> bytes:
        """The path of a request of this route, as the service gets it."""
        path = request.path
        if path == b"*" or not self.changes_paths:  # OPTIONS for the host as a whole (RFC 9110 section 9.3.7)
            return path
        moved = path_moved(path, self.strip_prefix, self.add_prefix)
        assert moved is not None  # noqa: S101  (the route's own path is in front of it)
        return moved

    def refusal(self, request: Request) -> Problem | None:
        """Why a request of this route is not carried: it came by http, or its path is unsafe to change."""
        if self.https_redirect and request.scheme == "http" and request.path != b"*":
            return problems.HTTPS_REDIRECT
        if not self.changes_paths:
            return None
        is_unsafe = any(map(has_dot_segments, (self.path_of(request), *request.all(b"destination"))))
        return problems.UNSAFE_PATH if is_unsafe else None

    @classmethod
    def of(
        cls, path: str, *, host_header: str = "", strip_prefix: bool = False, add_prefix: str = "",
        https_redirect: bool = False, scheme: str = "http",
    ) -> Self | None:  # fmt: skip
        """The rewrite of a route with this path. None: it changes nothing. Raises WrongRewriteError.

        `host_header`, `add_prefix`: empty where there is none. `scheme`: of the route's target.
        """
        checked = {
            "host_header": _wrong_host_header(host_header) if host_header else "",
            "strip_prefix": _wrong_strip_prefix(path) if strip_prefix else "",
            "add_prefix": _wrong_add_prefix(add_prefix) if add_prefix else "",
        }
        if faults := {key: why for key, why in checked.items() if why}:
            raise WrongRewriteError(faults)
        if not (host_header or strip_prefix or add_prefix or https_redirect):
            return None
        return cls(
            host_header.encode("ascii") or None,
            path.rstrip("/").encode("ascii") if strip_prefix else b"",
            add_prefix.rstrip("/").encode("ascii"),
            https_redirect,
            scheme,
        )


def _wrong_host_header(host: str) -> str:
    """What is wrong with this host that a service is to see. Empty: it is valid."""
    found = _HOST.fullmatch(host) if len(host) <= HOST_FIELD_BYTES else None
    if found is not None:
        six, port = found["six"], found["port"]
        if (six is None or _is_six(six)) and (port is None or 1 <= int(port) <= 65_535):
            return ""
    return f"{shown(host)} is not valid; write the host that the service expects, like localhost:5173 or app.internal"


def _wrong_strip_prefix(path: str) -> str:
    """Why the path of a route cannot be stripped. Empty: it can."""
    if path.rstrip("/"):
        return ""
    return (
        f"the route's path is {path}, so there is nothing to strip; give the route a path like /app, or leave this out"
    )


def _wrong_add_prefix(prefix: str) -> str:
    """What is wrong with this prefix that is put in front. Empty: it is valid."""
    if prefix == "/":
        return '"/" adds nothing; write a prefix like /base, or leave this out'
    if len(prefix) <= PREFIX_CHARACTERS and is_prefix(prefix):
        return ""
    return f"{shown(prefix)} is not valid; write a prefix like /base"


def _is_six(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True

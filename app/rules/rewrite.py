"""What a route changes of addresses on the way to its service and back: one frozen `Rewrite` per route that does.

A service that was written for one address (a development server, say) sees that address, and its clients see the
route's. Says only what is wanted and whether it is valid; `app/public/rewriting.py` does it.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Self

from .paths import is_prefix

_NAME: Final = r"[A-Za-z0-9_](?:[-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?:{_NAME}(?:\.{_NAME})*\.?|\[(?P<six>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?")
_HOST_CHARACTERS: Final = 253 + len(".:65535")
_PREFIX_CHARACTERS: Final = 1024
_SHOWN_CHARACTERS: Final = 80


class WrongRewriteError(ValueError):
    """A value is not valid. The text names its key, and says what is valid."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


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
    """How the service is reached, which is what it believes its address to begin with."""

    @classmethod
    def of(
        cls, path: str, *, host_header: str = "", strip_prefix: bool = False, add_prefix: str = "",
        https_redirect: bool = False, scheme: str = "http",
    ) -> Self | None:  # fmt: skip
        """The rewrite of a route with this path. None: it changes nothing. Raises WrongRewriteError.

        `host_header`, `add_prefix`: empty where there is none. `scheme`: of the route's target.
        """
        faults = (
            ("host_header", wrong_host_header(host_header) if host_header else None),
            ("strip_prefix", wrong_strip_prefix(path) if strip_prefix else None),
            ("add_prefix", wrong_add_prefix(add_prefix) if add_prefix else None),
        )
        for key, why in faults:
            if why is not None:
                raise WrongRewriteError(key, why)
        if not (host_header or strip_prefix or add_prefix or https_redirect):
            return None
        return cls(
            host_header.encode("ascii") or None,
            path.rstrip("/").encode("ascii") if strip_prefix else b"",
            add_prefix.rstrip("/").encode("ascii"),
            https_redirect,
            scheme,
        )


def wrong_host_header(host: str) -> str | None:
    """What is wrong with this host that a service is to see. None when it is valid."""
    found = _HOST.fullmatch(host) if len(host) <= _HOST_CHARACTERS else None
    if found is not None:
        six, port = found["six"], found["port"]
        if (six is None or _is_six(six)) and (port is None or 1 <= int(port) <= 65_535):
            return None
    return f"{_shown(host)} is not valid; write the host that the service expects, like localhost:5173 or app.internal"


def wrong_strip_prefix(path: str) -> str | None:
    """Why the path of a route cannot be stripped. None when it can."""
    if path.rstrip("/"):
        return None
    return f"the route's path is {path}, so there is nothing to strip; give the route a path like /app, or drop this"


def wrong_add_prefix(prefix: str) -> str | None:
    """What is wrong with this prefix that is put in front. None when it is valid."""
    if prefix == "/":
        return '"/" adds nothing; write a prefix like /base, or drop this'
    if len(prefix) <= _PREFIX_CHARACTERS and is_prefix(prefix):
        return None
    return f"{_shown(prefix)} is not valid; write a prefix like /base"


def _is_six(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


def _shown(text: str) -> str:
    """A text of somebody else, in printable ASCII."""
    cut = text[:_SHOWN_CHARACTERS]
    return ascii(cut) if len(cut) == len(text) else f"{cut!a}..."

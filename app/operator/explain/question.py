"""What an operator asks about: a URL and a method, checked, in the parts that a request has.

A URL that no client could send is refused here with a text that says what to write. What a client can send, and the
gateway would refuse, is answered by the explanation.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ...observed.request_id import new_request_id
from ...rules.hosts import HOST_CHARACTERS, is_host, normalise_host
from ...rules.request import Request
from ...settings.idn import ascii_form

URL_CHARACTERS: Final = 8_192
"""Longer than browsers and search engines take."""
ORIGIN_CHARACTERS: Final = 512
WEBSOCKET: Final = "WEBSOCKET"
METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", WEBSOCKET)
USER_AGENT: Final = b"tunnel-gateway-explain"

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_UNSENDABLE: Final = re.compile(r"[^\x21-\x7e]")
_EXAMPLE: Final = "write url=https://host/path"


class WrongParameterError(ValueError):
    """A parameter is not valid. The text begins with its name, repeats no value, and says what to write."""

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(f"{parameter} {text}")
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Question:
    """One URL, and how it is asked for."""

    url: str
    """To be shown: without its query, which may hold secrets."""
    method: str
    """One of `METHODS`."""
    scheme: str
    """What the client speaks to the gateway, or to the proxy in front of it: `http` or `https`."""
    authority: bytes
    """The Host field: host, and port where the URL has one."""
    path: bytes
    query: bytes
    origin: bytes | None = None
    """Of the page that opens a WebSocket. None: a program opens it."""
    probes: bool = True

    @property
    def host(self) -> str:
        """The host, normalised."""
        return normalise_host(self.authority.decode("ascii"))

    @property
    def is_websocket(self) -> bool:
        """Whether a WebSocket is asked for."""
        return self.method == WEBSOCKET

    def request(self, client: str) -> Request:
        """The request that a client at this address would send, as a door would read it."""
        fields = [(b"host", self.authority), (b"user-agent", USER_AGENT), (b"accept", b"*/*")]
        if self.origin is not None:
            fields.append((b"origin", self.origin))
        return Request(
            "GET" if self.is_websocket else self.method, self.authority, self.path, self.query, 1, b"", b"", fields,
            None, 0, client, self.scheme, client, self.scheme, None, new_request_id(), is_websocket=self.is_websocket,
        )  # fmt: skip


def question_of(url: str, method: str | None = None, origin: str | None = None, *, probes: bool = True) -> Question:
    """The question that these parameters ask. Raises WrongParameterError."""
    scheme, authority, path, query = _parts_of(url)
    method = _method_of(method, is_websocket=scheme in ("ws", "wss"))
    return Question(
        url=f"{scheme}://{authority}{path}",
        method=method,
        scheme=_SCHEMES[scheme],
        authority=authority.encode("ascii"),
        path=path.encode("ascii"),
        query=query.encode("ascii"),
        origin=_origin_of(origin, method),
        probes=probes,
    )


def _parts_of(url: str) -> tuple[str, str, str, str]:
    """Scheme, authority, path and query of a URL that a client could send."""
    if len(url) > URL_CHARACTERS:
        raise WrongParameterError("url", f"has {len(url)} characters; write at most {URL_CHARACTERS}")
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise WrongParameterError("url", f"has no scheme; {_EXAMPLE}")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise WrongParameterError("url", "has a scheme that is not ours; write http, https, ws or wss")
    written = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in written:
        raise WrongParameterError("url", "has a user name or a password; leave them out")
    authority = _authority_of(written)
    rest, _, _ = rest[len(written) :].partition("#")  # a fragment is never sent
    if _UNSENDABLE.search(rest):
        raise WrongParameterError("url", "has a character that no client sends; percent-encode it")
    path, _, query = rest.partition("?")
    return scheme, authority, path or "/", query


def _authority_of(written: str) -> str:
    """The Host field for this part of a URL."""
    if not written.isascii():
        form = ascii_form(normalise_host(written))
        raise WrongParameterError("url", f"has a host that is not ASCII; write {form or 'its xn-- form'}")
    try:
        parts = urlsplit(f"//{written}") if is_host(written.encode("ascii")) else None
        port = parts.port if parts is not None else None
    except ValueError:
        raise WrongParameterError("url", "has a port that does not exist; write 1 to 65535") from None
    if parts is None or not parts.hostname or len(parts.hostname) > HOST_CHARACTERS:
        raise WrongParameterError("url", f"has no valid host; {_EXAMPLE}")
    if port == 0:
        raise WrongParameterError("url", "has port 0; write 1 to 65535")
    return written.removesuffix(":")


def _method_of(method: str | None, *, is_websocket: bool) -> str:
    if method is None:
        return WEBSOCKET if is_websocket else "GET"
    if method not in METHODS:
        raise WrongParameterError("method", f"is not known; write one of {', '.join(METHODS)}")
    if is_websocket and method not in (WEBSOCKET, "GET"):
        raise WrongParameterError("method", f"is {method}, and a ws URL opens a WebSocket; leave it out")
    return WEBSOCKET if is_websocket else method


def _origin_of(origin: str | None, method: str) -> bytes | None:
    if origin is None:
        return None
    if method != WEBSOCKET:
        raise WrongParameterError("origin", "is for WebSockets; write a ws or wss URL, or method=WEBSOCKET")
    if not origin or len(origin) > ORIGIN_CHARACTERS or _UNSENDABLE.search(origin):
        raise WrongParameterError("origin", "is not valid; write what a browser sends, like https://host")
    return origin.encode("ascii")

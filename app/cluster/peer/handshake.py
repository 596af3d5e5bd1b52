"""How a connection between nodes becomes a peer link: one HTTP/1.1 request and its answer. Pure.

    GET /-/peer HTTP/1.1                        HTTP/1.1 101 Switching Protocols
    Host: ...                                   Connection: Upgrade
    Connection: Upgrade                         Upgrade: tunnel-peer
    Upgrade: tunnel-peer                        X-Tunnel-Node: id
    Authorization: Bearer SECRET                X-Tunnel-Build: ...
    X-Tunnel-Node: id
    X-Tunnel-Build: ...
    X-Tunnel-To: the id of the node that is dialled

After a 101 both speak yamux. Any other answer is a refusal with a line of text for the operator, and the connection
ends. Fields that we do not know are ignored. No head is longer than `HEAD_LIMIT_BYTES`, and nothing of a secret is in
any error.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

PATH: Final = "/-/peer"
REQUEST_BEGINS: Final = b"GET "
ANSWER_BEGINS: Final = b"HTTP/1.1 "
PROTOCOL: Final = "tunnel-peer"
HEAD_LIMIT_BYTES: Final = 8192
FIELDS_LIMIT: Final = 64
BUILD_CHARS: Final = 100

_END = b"\r\n\r\n"
_NODE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TEXT_CHARS = 300


class HandshakeError(Exception):
    """The other end does not speak this handshake, or refuses. `status`: of a refusal; 0: it is none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class RefusedError(Exception):
    """We refuse, with this status; the text is for the operator of the other node."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True, frozen=True)
class Hello:
    """Who dials."""

    node: str
    build: str = ""
    secret: bytes | None = None
    """What it presents, if anything."""
    wanted: str = ""
    """The node that it wants to link with."""


@dataclass(slots=True, frozen=True)
class Welcome:
    """Who answered a dial, with 101."""

    node: str
    build: str = ""


@dataclass(slots=True, frozen=True)
class Access:
    """Who may link. `secrets`: all are accepted. `certificates`: whoever has a verified client certificate may, too."""

    secrets: tuple[bytes, ...] = ()
    certificates: bool = False

    def allows(self, secret: bytes | None, *, has_certificate: bool) -> bool:
        """Compares with all secrets, each in constant time."""
        equal = [hmac.compare_digest(known, secret or b"") for known in self.secrets if known]
        return (self.certificates and has_certificate) or (secret is not None and any(equal))

    def __repr__(self) -> str:
        return f"<Access {len(self.secrets)} secrets{', certificates' if self.certificates else ''}>"


class HeadReader:
    """Finds the end of a head that begins with `begins`."""

    __slots__ = ("_begins", "_buffer", "rest")

    def __init__(self, begins: bytes) -> None:
        self._begins = begins
        self._buffer = b""
        self.rest = b""
        """What followed the head."""

    def feed(self, data: bytes) -> bytes | None:
        """Take the next piece; the head without its empty line, or None while it is incomplete. Raises ValueError."""
        buffer = self._buffer + data
        if not buffer.startswith(self._begins[: len(buffer)]):
            raise ValueError("it does not speak HTTP/1.1 here")  # TLS, for one, would wait for ever
        end = buffer.find(_END, max(len(self._buffer) - len(_END), 0))
        if (len(buffer) if end < 0 else end) > HEAD_LIMIT_BYTES:
            raise ValueError(f"a head of more than {HEAD_LIMIT_BYTES} bytes")
        if end < 0:
            self._buffer = buffer
            return None
        self._buffer = b""
        self.rest = buffer[end + len(_END) :]
        return buffer[:end]


def request(host: str, node: str, build: str, secret: bytes | None, *, to: str) -> bytes:
    """The head that a dialler sends. `to`: the node that it wants, which may be gone, and another at its address."""
    lines = [
        f"GET {PATH} HTTP/1.1", f"Host: {host}", "Connection: Upgrade", f"Upgrade: {PROTOCOL}",
        f"X-Tunnel-Node: {node}", f"X-Tunnel-Build: {build}", f"X-Tunnel-To: {to}",
    ]  # fmt: skip
    head = "\r\n".join(lines).encode()
    if secret is not None:
        head += b"\r\nAuthorization: Bearer " + secret
    return head + _END


def read_request(head: bytes) -> Hello:
    """Who dials, from a complete head. Raises RefusedError. Whether it may is for `Access`."""
    try:
        first, fields = _split(head)
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    if version != "HTTP/1.1":
        raise RefusedError(HTTPStatus.BAD_REQUEST, "this listener speaks HTTP/1.1")
    if method != "GET" or target != PATH:
        raise RefusedError(HTTPStatus.NOT_FOUND, "this listener is for the gateway's other nodes")
    if fields.get("upgrade", "").lower() != PROTOCOL or "upgrade" not in _words(fields.get("connection", "")):
        raise RefusedError(HTTPStatus.UPGRADE_REQUIRED, f"ask for Upgrade: {PROTOCOL}")
    node = fields.get("x-tunnel-node", "")
    if _NODE.fullmatch(node) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "X-Tunnel-Node is no node id")
    scheme, _, presented = fields.get("authorization", "").partition(" ")
    secret = presented.strip().encode("latin-1") if scheme.lower() == "bearer" and presented.strip() else None
    wanted = fields.get("x-tunnel-to", "")
    if _NODE.fullmatch(wanted) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "X-Tunnel-To is no node id")
    return Hello(node, fields.get("x-tunnel-build", "")[:BUILD_CHARS], secret, wanted)


def welcome(node: str, build: str) -> bytes:
    """The answer to who may link."""
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n"
        f"X-Tunnel-Node: {node}\r\nX-Tunnel-Build: {build}\r\n\r\n"
    ).encode()  # fmt: skip


def refusal(error: RefusedError) -> bytes:
    """The answer to everybody else; the connection is closed after it."""
    more = {
        HTTPStatus.UPGRADE_REQUIRED: f"Upgrade: {PROTOCOL}\r\n",
        HTTPStatus.UNAUTHORIZED: "WWW-Authenticate: Bearer\r\n",
        HTTPStatus.SERVICE_UNAVAILABLE: "Retry-After: 1\r\n",
    }.get(error.status, "")
    body = f"{error}\n"
    return (
        f"HTTP/1.1 {error.status.value} {error.status.phrase}\r\nConnection: close\r\n{more}"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()  # fmt: skip


def read_answer(head: bytes, rest: bytes = b"") -> Welcome:
    """Who answered. Raises HandshakeError; `rest` is what came of a refusal's text."""
    try:
        first, fields = _split(head)
    except ValueError as error:
        raise HandshakeError(f"no answer of a node: {error}") from None
    version, _, status_line = first.partition(" ")
    status = status_line[:3]
    if version != "HTTP/1.1" or not (status.isascii() and status.isdigit()):
        raise HandshakeError("no answer of a node: it is not HTTP/1.1")
    if status != "101":
        text = rest.decode(errors="replace")[:_TEXT_CHARS].strip()
        raise HandshakeError(f"refused with {status}: {text!r}" if text else f"refused with {status}", int(status))
    node = fields.get("x-tunnel-node", "")
    if fields.get("upgrade", "").lower() != PROTOCOL or _NODE.fullmatch(node) is None:
        raise HandshakeError("a 101 that is not of a node")
    return Welcome(node, fields.get("x-tunnel-build", "")[:BUILD_CHARS])


def _split(head: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the fields by their names in lower case. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    if len(lines) > FIELDS_LIMIT:
        raise ValueError(f"more than {FIELDS_LIMIT} fields")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None or any(char < " " and char != "\t" for char in value):
            raise ValueError("a line of the head is no field")
        if name.lower() in fields:
            raise ValueError("a field comes twice")
        fields[name.lower()] = value.strip(" \t")
    return first, fields


def _words(value: str) -> Sequence[str]:
    return [word.strip().lower() for word in value.split(",")]

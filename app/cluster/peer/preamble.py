"""The first bytes of a stream between nodes, and the owner's answer to them. Pure.

Preamble, big endian: `u8 magic = 0x54 | u8 version = 1 | u8 flags | 6 x (u16 length + UTF-8): cluster, publisher,
namespace, service, wanted agent id, request id | u16 port | u32 length + extensions`. What follows is the service's.

Answer: `u8 code`; 0 is through: `u8 length + agent id | u8 dialect`, and what follows is the service's; 4 is refused:
`u16 length + "kind/text"`. Any code but 0 promises that nothing was passed on, also one that we do not know.

With flag 8 it is a query for the operator's API (`query.py`): no cluster, no target, and what follows is the query. A
node that does not know the flag refuses it, because there is no cluster without a name.

A later version keeps the version byte as long as this one can serve it: it adds flags, which are ignored, and
extensions, which are skipped. Cluster, namespace and service are checked here: no other node's fault reaches an agent.
The decoders take pieces of any size, and hold at most one unfinished preamble, or answer.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAGIC: Final = 0x54
VERSION: Final = 1
NAMES_LIMIT_BYTES: Final = 2048
"""Of the preamble without its extensions: three DNS labels, two ids, a request id of 200 bytes."""
AHEAD_BYTES: Final = 64 * 1024
"""Of a stream, with its preamble: what the asking node sends at most before the answer."""
EXTENSIONS_LIMIT_BYTES: Final = 65_536
"""Skipped as they come; nobody needs more, and a stream must get to its bytes."""
REASON_LIMIT_BYTES: Final = 1024
DIALECTS: Final = ("", "yamux", "json", "chunk")
"""By their numbers in the answer."""

_HTTP, _FRESH, _AGENT_TLS, _OPERATOR, _UPGRADE = 1, 2, 4, 8, 16
_FIXED = struct.Struct(">BBB")
_LENGTH = struct.Struct(">H")
_TAIL = struct.Struct(">HI")
_NAMES = 6
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLUSTER_CHARS = 255


class PreambleError(ValueError):
    """The bytes are no preamble, or no answer, of this version. The text names the rule, never the content."""


@dataclass(slots=True, frozen=True)
class Preamble:
    """What a stream is for."""

    cluster: str
    namespace: str
    service: str
    port: int
    publisher: str = ""
    """See `Target.publisher`."""
    agent_id: str = ""
    """The agent that the asking node has chosen; empty: any."""
    request_id: str = ""
    """Of the first request on the stream, for the owner's log."""
    http: bool = True
    """Plain HTTP/1.1 follows; else TCP, or TLS for the service itself."""
    fresh: bool = False
    """A second attempt: take no connection that another request has used."""
    upgrade: bool = False
    """The first request is a WebSocket handshake, and the only one, unless it is refused."""
    agent_tls: bool = False
    """The owner's agent is to speak TLS to the service, without verification: only agents of `json` and `chunk` do."""
    operator: bool = False
    """A query for the operator's API follows: all names but the request id are empty, and the port is 0."""

    def __str__(self) -> str:
        if self.operator:
            return "a query for the operator"
        return f"{self.cluster}/{self.namespace}/{self.service}:{self.port}"


OPERATOR: Final = Preamble("", "", "", 0, http=False, operator=True)
"""Of a query for the operator's API."""


def encode(preamble: Preamble) -> bytes:
    """The bytes. Raises PreambleError for what the other node would refuse."""
    flags = (
        _HTTP * preamble.http | _FRESH * preamble.fresh | _AGENT_TLS * preamble.agent_tls
        | _OPERATOR * preamble.operator | _UPGRADE * preamble.upgrade
    )  # fmt: skip
    parts = [_FIXED.pack(MAGIC, VERSION, flags)]
    for text in _texts_of(preamble):
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            raise PreambleError("a name is not UTF-8") from None
        if len(raw) > NAMES_LIMIT_BYTES:
            raise PreambleError("a name is longer than a whole preamble may be")
        parts += (_LENGTH.pack(len(raw)), raw)
    _check(preamble)
    encoded = b"".join((*parts, _TAIL.pack(preamble.port, 0)))
    if len(encoded) > NAMES_LIMIT_BYTES:
        raise PreambleError(f"longer than {NAMES_LIMIT_BYTES} bytes")
    return encoded


def _texts_of(preamble: Preamble) -> tuple[str, ...]:
    return (
        preamble.cluster, preamble.publisher, preamble.namespace, preamble.service, preamble.agent_id,
        preamble.request_id,
    )  # fmt: skip


def _check(preamble: Preamble) -> None:
    """Raises PreambleError for a target that must not reach an agent."""
    if preamble.operator:
        if any(_texts_of(preamble)[:-1]) or preamble.port:
            raise PreambleError("a query for the operator has no target")
        return
    if not preamble.cluster or len(preamble.cluster) > _CLUSTER_CHARS:
        raise PreambleError("the cluster is empty or too long")
    for what, label in (("namespace", preamble.namespace), ("service", preamble.service)):
        if _LABEL.fullmatch(label) is None:
            raise PreambleError(f"the {what} is no DNS label")
    if not 0 < preamble.port < 65_536:
        raise PreambleError("the port is not within 1 to 65535")


class PreambleDecoder:
    """Finds the preamble at the start of a stream. Use one per stream, until it found it or raised."""

    __slots__ = ("_buffer", "_found", "_skip_bytes", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self._found: Preamble | None = None
        self._skip_bytes = 0
        self.rest = b""
        """What followed the preamble in the piece that completed it."""

    def feed(self, data: bytes) -> Preamble | None:
        """Take the next piece; None while the preamble is incomplete. Raises PreambleError."""
        if self._found is None:
            data = self._read(self._buffer + data if self._buffer else data)
        if self._found is None:
            return None
        skipped = min(self._skip_bytes, len(data))
        self._skip_bytes -= skipped
        if self._skip_bytes:
            return None
        self.rest = data[skipped:]
        return self._found

    def _read(self, buffer: bytes) -> bytes:
        """Returns what follows the preamble without its extensions, where that is complete."""
        if buffer[:1] not in (b"", b"\x54"):
            raise PreambleError("it does not begin with 0x54")
        if len(buffer) > 1 and buffer[1] != VERSION:
            raise PreambleError(f"version {buffer[1]} is not {VERSION}")
        raw: list[bytes] = []
        end = _FIXED.size
        for _ in range(_NAMES):
            start = end + _LENGTH.size
            if len(buffer) < start:
                return self._keep(buffer, start)
            end = start + _LENGTH.unpack_from(buffer, end)[0]
            if end > NAMES_LIMIT_BYTES or len(buffer) < end:
                return self._keep(buffer, end)
            raw.append(buffer[start:end])
        after = end + _TAIL.size
        if len(buffer) < after:
            return self._keep(buffer, after)
        port, self._skip_bytes = _TAIL.unpack_from(buffer, end)
        if self._skip_bytes > EXTENSIONS_LIMIT_BYTES:
            raise PreambleError(f"extensions of more than {EXTENSIONS_LIMIT_BYTES} bytes")
        try:
            cluster, publisher, namespace, service, agent_id, request_id = (text.decode() for text in raw)
        except UnicodeDecodeError:
            raise PreambleError("a name is not UTF-8") from None
        flags = buffer[2]
        found = Preamble(
            cluster, namespace, service, port, publisher, agent_id, request_id,
            http=bool(flags & _HTTP), fresh=bool(flags & _FRESH), upgrade=bool(flags & _UPGRADE),
            agent_tls=bool(flags & _AGENT_TLS), operator=bool(flags & _OPERATOR),
        )  # fmt: skip
        _check(found)
        self._buffer = b""
        self._found = found
        return buffer[after:]

    def _keep(self, buffer: bytes, needed: int) -> bytes:
        """Keep what there is, unless the preamble that it announces is too long."""
        if needed > NAMES_LIMIT_BYTES:
            raise PreambleError(f"longer than {NAMES_LIMIT_BYTES} bytes")
        self._buffer = buffer
        return b""


class Code(IntEnum):
    """The first byte of an answer."""

    THROUGH = 0
    NOT_HERE = 1
    DRAINING = 2
    BUSY = 3
    REFUSED = 4


@dataclass(slots=True, frozen=True)
class Answer:
    """What the owner says first."""

    code: int
    """A `Code`, or a number that only a later version knows: nothing was passed on."""
    agent_id: str = ""
    dialect: str = ""
    """Of the link, where it is through; empty: one that we do not know."""
    kind: str = ""
    """Why it was refused: one of `tunnel.wire.refusals`, or a word that only a later version knows."""
    text: str = ""


def through(agent_id: str, dialect: str) -> bytes:
    """The service's bytes follow."""
    raw = _cut(agent_id, 255)
    number = DIALECTS.index(dialect) if dialect in DIALECTS else 0
    return bytes((Code.THROUGH, len(raw))) + raw + bytes((number,))


def refused(kind: str, text: str) -> bytes:
    """The exchange has no connection, and gets none."""
    raw = _cut(f"{kind}/{text}", REASON_LIMIT_BYTES)
    return bytes((Code.REFUSED,)) + _LENGTH.pack(len(raw)) + raw


class AnswerDecoder:
    """Finds the answer at the start of what the owner sends. Use one per stream, until it found it or raised."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""
        """What followed the answer in the piece that completed it."""

    def feed(self, data: bytes) -> Answer | None:
        """Take the next piece, which is not empty; None while the answer is incomplete. Raises PreambleError."""
        buffer = self._buffer + data
        code = buffer[0]
        if code not in (Code.THROUGH, Code.REFUSED):
            return Answer(code)
        start = 2 if code == Code.THROUGH else 3
        if len(buffer) >= start:
            end = start + (buffer[1] if code == Code.THROUGH else _LENGTH.unpack_from(buffer, 1)[0])
            if end - start > REASON_LIMIT_BYTES:
                raise PreambleError("the reason of a refusal is too long")
            after = end + 1 if code == Code.THROUGH else end
            if len(buffer) >= after:
                self._buffer = b""
                self.rest = buffer[after:]
                return _answer_of(code, buffer[start:end], buffer[end:after])
        self._buffer = buffer
        return None


def _answer_of(code: int, raw: bytes, number: bytes) -> Answer:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise PreambleError("an answer is not UTF-8") from None
    if code == Code.REFUSED:
        kind, _, reason = text.partition("/")
        return Answer(code, kind=kind, text=reason)
    known = number[0] < len(DIALECTS)
    return Answer(code, agent_id=text, dialect=DIALECTS[number[0]] if known else "")


def _cut(text: str, most_bytes: int) -> bytes:
    """As UTF-8, without the half of a character at the end."""
    return text.encode(errors="replace")[:most_bytes].decode(errors="ignore").encode()

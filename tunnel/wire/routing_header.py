"""The first bytes of a yamux stream: the service that the gateway wants to reach through it.

`uint8 version=1 | uint8 protocol | uint16 port | 3 x (uint16 length + UTF-8): service name, namespace, tunnel
id`, big endian (tunnel/PROTOCOL.md, section 4). The existing agent accepts exactly this and validates nothing.

It does not say whether a name may be reached; its caller decides that. Invariants of the decoder: it may be fed in
pieces of any size; it holds at most `HEADER_LIMIT_BYTES` of an unfinished header; what follows the header is in
`rest`.
"""

import struct
from dataclasses import dataclass

VERSION = 1
TCP = 1
UDP = 2

HEADER_LIMIT_BYTES = 1024
"""Several times what two DNS labels (63 bytes each) and a tunnel id of a few hundred bytes need."""

_FIXED = struct.Struct(">BBH")
_LENGTH = struct.Struct(">H")
_TEXTS = 3


class RoutingHeaderError(ValueError):
    """The bytes are not a routing header. The text names the rule, never the content."""


@dataclass(slots=True, frozen=True)
class RoutingHeader:
    """What a stream is for. `protocol` is `TCP`, `UDP`, or an undefined number."""

    service: str
    namespace: str
    port: int
    tunnel_id: str = ""
    protocol: int = TCP

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def encode(service: str, namespace: str, port: int, tunnel_id: str = "") -> bytes:
    """Encode the header of a TCP stream. Raises RoutingHeaderError if it could not be decoded."""
    if not 0 < port < 65_536:
        msg = f"port {port} is not within 1 to 65535"
        raise RoutingHeaderError(msg)
    parts = [_FIXED.pack(VERSION, TCP, port)]
    for text in (service, namespace, tunnel_id):
        raw = text.encode()
        if len(raw) > HEADER_LIMIT_BYTES:
            raise RoutingHeaderError("a name is longer than a whole header may be")
        parts += (_LENGTH.pack(len(raw)), raw)
    header = b"".join(parts)
    if len(header) > HEADER_LIMIT_BYTES:
        msg = f"{len(header)} bytes are more than the {HEADER_LIMIT_BYTES} of a header"
        raise RoutingHeaderError(msg)
    return header


class Decoder:
    """Finds the header at the start of a stream. Use one per stream, until it found the header or raised."""

    __slots__ = ("_buffer", "rest", "size_bytes")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""
        """What followed the header in the piece that completed it."""
        self.size_bytes = 0
        """The length of the header, once it was found."""

    def feed(self, data: bytes) -> RoutingHeader | None:
        """Take the next piece; None while the header is incomplete. Raises RoutingHeaderError."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        if buffer and buffer[0] != VERSION:
            msg = f"version {buffer[0]} is not {VERSION}"
            raise RoutingHeaderError(msg)
        texts: list[bytes] = []
        end = _FIXED.size
        for _ in range(_TEXTS):
            start = end + _LENGTH.size
            if len(buffer) < start:
                self._keep(buffer, start)
                return None
            end = start + _LENGTH.unpack_from(buffer, end)[0]
            if end > HEADER_LIMIT_BYTES or len(buffer) < end:
                self._keep(buffer, end)
                return None
            texts.append(buffer[start:end])
        _, protocol, port = _FIXED.unpack_from(buffer)
        try:
            service, namespace, tunnel_id = (text.decode() for text in texts)
        except UnicodeDecodeError:
            raise RoutingHeaderError("a name is not UTF-8") from None
        self._buffer = b""
        self.rest = buffer[end:]
        self.size_bytes = end
        return RoutingHeader(service, namespace, port, tunnel_id, protocol)

    def _keep(self, buffer: bytes, needed: int) -> None:
        """Keep what there is, unless the header that it announces is too long."""
        if needed > HEADER_LIMIT_BYTES:
            msg = f"longer than {HEADER_LIMIT_BYTES} bytes"
            raise RoutingHeaderError(msg)
        self._buffer = buffer

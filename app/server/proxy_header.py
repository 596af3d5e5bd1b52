"""The PROXY protocol's header: what a TCP balancer writes in front of a client's bytes to say where they come from.

Both versions are read, the line of version 1 and the block of version 2. The reader is strict, so that two readers of
one header cannot disagree: single blanks, capital letters, no leading zeros, ports up to 65535, no rest that is not
made of extensions. The header is taken whole or not at all.

Invariant: as long as the header is not complete, every byte that came belongs to it. So it can be taken from a socket
to its last byte and no further.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from .crc32c import crc32c

LINE_BYTES: Final = 107
"""The longest line of version 1, with its CR LF."""
HEADER_BYTES: Final = 2_048
"""The longest header that we take. Senders keep it below one segment of 1,460 bytes; the length field allows 65,551."""

Address = tuple[str, int]

_LINE: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED_BYTES: Final = 16
_LOCAL, _PROXY = 0, 1  # commands
_ADDRESS_BYTES: Final = (0, 12, 36, 216)
"""By family: unspecified, IPv4, IPv6, UNIX."""
_UNSPECIFIED, _STREAM, _DATAGRAM = 0, 1, 2  # transports
_CHECKSUM: Final = 3
_FAMILIES: Final[dict[bytes, type[IPv4Address] | type[IPv6Address]]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
_LAYOUTS: Final[dict[int, tuple[str, Callable[[bytes], IPv4Address | IPv6Address]]]] = {
    1: ("!4s4sHH", IPv4Address),
    2: ("!16s16sHH", IPv6Address),
}


class ProxyHeaderError(Exception):
    """What came is no header. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """One header. Without addresses the connection's own count: the balancer speaks for itself, or knows none."""

    size_bytes: int
    source: Address | None = None
    """The client's."""
    destination: Address | None = None
    """The one that the client connected to."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of the data. None: it is not complete. Raises ProxyHeaderError."""
    if _begins(data, _LINE):
        return _read_line(data)
    if _begins(data, _SIGNATURE):
        return _read_block(data)
    raise ProxyHeaderError("it does not begin with a PROXY header")


def _begins(data: bytes, word: bytes) -> bool:
    return data.startswith(word) if len(data) >= len(word) else word.startswith(data)


# --- version 1


def _read_line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LINE_BYTES)
    if end < 0:
        if len(data) >= LINE_BYTES:
            raise ProxyHeaderError(f"the line does not end within {LINE_BYTES} bytes")
        return None
    size_bytes = end + 2
    protocol, *words = data[len(_LINE) : end].split(b" ")
    if protocol == b"UNKNOWN":
        return ProxyHeader(size_bytes)  # whatever follows the word
    family = _FAMILIES.get(protocol)
    if family is None:
        raise ProxyHeaderError("the protocol is none of TCP4, TCP6 and UNKNOWN")
    if len(words) != 4:
        raise ProxyHeaderError("the line does not have two addresses and two ports between single blanks")
    hosts = [_host(family, word) for word in words[:2]]
    ports = [_port(word) for word in words[2:]]
    return ProxyHeader(size_bytes, (hosts[0], ports[0]), (hosts[1], ports[1]))


def _host(family: type[IPv4Address] | type[IPv6Address], word: bytes) -> str:
    try:
        if b"%" not in word:  # a zone says nothing to others
            return _shown(family(word.decode("ascii")))
    except ValueError:
        pass
    raise ProxyHeaderError("an address of the line is not valid")


def _port(word: bytes) -> int:
    if word.isdigit() and len(word) <= 5 and (word[:1] != b"0" or word == b"0"):
        port = int(word)
        if port <= 65_535:
            return port
    raise ProxyHeaderError("a port of the line is not valid")


# --- version 2


def _read_block(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED_BYTES:
        return None
    version_and_command, family_and_transport, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    version, command = divmod(version_and_command, 16)
    family, transport = divmod(family_and_transport, 16)
    size_bytes = _FIXED_BYTES + length
    if version != 2:
        raise ProxyHeaderError(f"the version of the block is {version}, not 2")
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("the command of the block is neither LOCAL nor PROXY")
    if size_bytes > HEADER_BYTES:
        raise ProxyHeaderError(f"the block is longer than {HEADER_BYTES} bytes")
    is_known = command == _PROXY  # else the rest is to be ignored
    if is_known and (family >= len(_ADDRESS_BYTES) or transport > _DATAGRAM):
        raise ProxyHeaderError("the address family or the transport of the block is not valid")
    if is_known and transport != _UNSPECIFIED and length < _ADDRESS_BYTES[family]:
        raise ProxyHeaderError("the block is too short for its addresses")
    if len(data) < size_bytes:
        return None
    layout = _LAYOUTS.get(family)
    if not is_known or layout is None or transport != _STREAM:
        return ProxyHeader(size_bytes)
    _check_extensions(data[:size_bytes], _FIXED_BYTES + _ADDRESS_BYTES[family])
    form, make = layout
    source, destination, source_port, destination_port = struct.unpack_from(form, data, _FIXED_BYTES)
    return ProxyHeader(
        size_bytes, (_shown(make(source)), source_port), (_shown(make(destination)), destination_port)
    )  # fmt: skip


def _check_extensions(header: bytes, at: int) -> None:
    """Each has a type, a length and a value. Only the checksum is looked at."""
    is_checked = False
    while at < len(header):
        if at + 3 > len(header):
            raise ProxyHeaderError("an extension of the block is cut")
        kind, length = struct.unpack_from("!BH", header, at)
        begin, at = at + 3, at + 3 + length
        if at > len(header):
            raise ProxyHeaderError("an extension of the block is cut")
        if kind == _CHECKSUM:
            if length != 4 or is_checked:
                raise ProxyHeaderError("the block's checksum is not one of four bytes")
            is_checked = True
            told = int.from_bytes(header[begin:at], "big")
            if crc32c(header[:begin] + bytes(4) + header[at:]) != told:
                raise ProxyHeaderError("the block's checksum is wrong")


def _shown(address: IPv4Address | IPv6Address) -> str:
    """In its shortest form. An IPv4 client of a balancer's IPv6 socket is an IPv4 client."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

"""Writes PROXY headers, as a balancer does: right ones, and blocks of version 2 from whatever parts a test wants."""

import struct
from ipaddress import ip_address

from app.server.crc32c import crc32c

SIGNATURE = bytes.fromhex("0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A")
PROXY, LOCAL = 0x21, 0x20
TCP4, TCP6, UNIX = 0x11, 0x21, 0x31


def line(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Version 1."""
    family = f"TCP{ip_address(source[0]).version}"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def block(command: int, family: int, rest: bytes = b"", length: int | None = None) -> bytes:
    """Version 2, of these parts."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest) if length is None else length) + rest


def addresses(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    hosts = ip_address(source[0]).packed + ip_address(destination[0]).packed
    return hosts + struct.pack("!HH", source[1], destination[1])


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def relayed(source: tuple[str, int], destination: tuple[str, int], extensions: bytes = b"") -> bytes:
    """Version 2, for a client."""
    family = TCP4 if ip_address(source[0]).version == 4 else TCP6
    return block(PROXY, family, addresses(source, destination) + extensions)


def checked(source: tuple[str, int], destination: tuple[str, int], after: bytes = b"") -> bytes:
    """Version 2, for a client, with a checksum and these extensions behind it."""
    blank = relayed(source, destination, extension(3, bytes(4)) + after)
    at = len(blank) - len(after) - 4
    return blank[:at] + crc32c(blank).to_bytes(4, "big") + blank[at + 4 :]

"""Hosts, addresses and origins of the configuration: which are valid, and in which form they are kept.

Pure functions. Each raises WrongKeyError with the key that the caller gave.
"""

import ipaddress
import re
from collections.abc import Container
from urllib.parse import urlsplit

from ..rules.hosts import HOST_CHARACTERS, HOST_FIELD_BYTES, NAME, normalise_host
from ..rules.shown import shown
from .errors import KeyPath, WrongKeyError
from .idn import ascii_form

_HOST = re.compile(rf"(\*\.)?{NAME}")
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][-a-z0-9+.]*://)?(?:{NAME}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def host_pattern(value: str, path: KeyPath) -> str:
    """Check an exact host name, or `*.` and a domain, and normalise it."""
    host = normalise_host(value) if len(value) <= HOST_FIELD_BYTES else ""
    if len(host) > HOST_CHARACTERS or not _HOST.fullmatch(host):
        raise _wrong_host(value, path, _hint(value) or "write a host name, or *. and a domain for its subdomains")
    return host


def route_host(value: str, path: KeyPath) -> str:
    """`host_pattern` for what a person writes: refuses a port too, which routes do not look at."""
    host = normalise_host(value) if len(value) <= HOST_FIELD_BYTES else ""
    if ":" in value and "://" not in value and _HOST.fullmatch(host):
        raise WrongKeyError(path, f"{shown(value)} is not valid; routes ignore ports, write {host}")
    return host_pattern(value, path)


def listen_host(value: str, path: KeyPath) -> str:
    """Check a host name or an IP address to listen on. IPv6 loses its brackets."""
    bare = value.strip().removeprefix("[").removesuffix("]")
    if not is_address(bare) and not (_HOST.fullmatch(normalise_host(bare)) and "*" not in bare and ":" not in bare):
        raise WrongKeyError(
            path, f"{shown(value)} is not valid; write an IP address or a host name (0.0.0.0 or :: for all addresses)"
        )
    return bare


def name_or_address(value: str, path: KeyPath) -> str:
    """Check a host name or an IP address, and normalise it."""
    host = normalise_host(value) if len(value) <= HOST_FIELD_BYTES else ""
    named = len(host) <= HOST_CHARACTERS and _HOST.fullmatch(host) is not None and not host.startswith("*")
    if not named and not is_address(value):
        raise _wrong_host(value, path, "write a host name or an IP address")
    return host


def public_url(value: str, path: KeyPath) -> tuple[str, str]:
    """The URL, with its scheme in lower case and without a trailing slash, and its host."""
    try:
        url = urlsplit(value)
        valid = (
            url.scheme in ("http", "https") and bool(url.hostname) and not (url.query or url.fragment or url.username)
        )
        _ = url.port  # raises ValueError for an invalid port
    except ValueError:
        valid = False
    if not valid:
        raise WrongKeyError(path, f"{shown(value)} is not valid; write http://host[:port][/prefix] or https://...")
    host = url.hostname or ""
    if not host.isascii():
        raise _wrong_host(host, path, "write http://host[:port][/prefix] or https://...")
    return f"{url.scheme}://{url.netloc}{url.path}".rstrip("/"), host


def network(value: str, path: KeyPath) -> Network:
    """An address or a network. Host bits beyond the mask are cleared."""
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise WrongKeyError(
            path, f"{shown(value)} is not valid; write an IP address, or a network like 10.0.0.0/8"
        ) from None


def origin(value: str, path: KeyPath) -> str:
    """Check one entry of `origins`, and return it in lower case."""
    pattern = value.strip().lower()
    if pattern in ("*", "same-origin"):
        return pattern
    if pattern == "null":
        raise WrongKeyError(path, '"null" cannot be listed; to allow it, set allow_null_origin = true')
    if not pattern.isascii():
        authority = pattern.rpartition("://")[2].removeprefix("*.")
        raise _wrong_host(authority.rpartition(":")[0] or authority, path, "write the host in ASCII")
    name = pattern.removeprefix("*.")
    found = _ORIGIN.fullmatch(name)
    plain = found is not None and not found["scheme"] and not found["port"] and not name.startswith("[")
    port = int(found["port"]) if found and found["port"] else 1
    if found is None or not 1 <= port <= 65_535 or (name != pattern and not plain):
        raise WrongKeyError(
            path,
            f'{shown(value)} is not valid; write "same-origin", "*", "host", "host:port", "https://host[:port]" '
            'or "*.domain"',
        )
    return pattern


def _hint(value: str) -> str:
    """What to write in place of this pattern, where it can be told. Empty: it cannot."""
    if len(value) > HOST_FIELD_BYTES:
        return ""
    authority = re.split(r"[/?#]", value.strip().lower().rpartition("://")[2])[0].rpartition("@")[2]
    host = normalise_host(authority)
    if host != normalise_host(value) and len(host) <= HOST_CHARACTERS and _HOST.fullmatch(host):
        return f"write the host alone: {host}"
    if "*" in host:
        domain = host.rpartition("*")[2].strip(".-")
        example = f"*.{domain}" if _HOST.fullmatch(domain) else "*.example.com"
        return f"a star stands for whole labels, at the beginning: write {example}"
    return ""


def _wrong_host(value: str, path: KeyPath, hint: str) -> WrongKeyError:
    """Says what to write: the ASCII form, where the host has one, else the hint."""
    form = ascii_form(normalise_host(value)) if len(value) <= HOST_CHARACTERS else ""
    if len(form) <= HOST_CHARACTERS and _HOST.fullmatch(form):
        hint = f'write it in ASCII: "{form}"'
    return WrongKeyError(path, f"{shown(value)} is not valid; {hint}")


def bind_address(value: str, path: KeyPath) -> tuple[str, int]:
    """The host and the port of `host:port`. IPv6 is written in brackets."""
    host, _, port = value.strip().rpartition(":")
    bare = host.strip("[]")
    good_host = is_address(bare) if "[" in host or ":" in host else bool(_HOST.fullmatch(bare)) and "*" not in bare
    if not good_host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise WrongKeyError(
            path, f'{shown(value)} is not valid; write "host:port", like "127.0.0.1:9090" or "[::1]:9090"'
        )
    return bare, int(port)


def is_address(host: str) -> bool:
    """Whether this is an IP address, with or without brackets."""
    if len(host) > HOST_FIELD_BYTES:
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach this address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_control(control_hosts: Container[str], host: bytes, local: str) -> bool:
    """Whether our own endpoints answer on this Host: a control host, or `local`, the address it came to."""
    name = normalise_host(host.decode("latin-1"))
    if name in control_hosts:
        return True
    try:
        return bool(local) and ipaddress.ip_address(name.strip("[]")) == ipaddress.ip_address(local)
    except ValueError:
        return False

"""Parsers for the agent's settings, one for each kind of value.

Pure: each takes a text and returns the value, or raises a ValueError that says what would be valid.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from tunnel.agent.proxies import is_name

MIB = 1024 * 1024
DIALECTS = ("yamux", "json", "chunk")
"""How exchanges ride on the link, best first: only yamux has flow control of its own."""

AGENTS_PATH = "/agent"
"""Where a gateway has its agents, below the prefix that it may be mounted at."""

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_BIND = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252})?):(?P<port>[0-9]{1,5})")
_AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def dialect(text: str) -> str:
    """A dialect that this agent speaks."""
    if text not in DIALECTS:
        msg = f"{text!r} is not available in this agent; available: {', '.join(DIALECTS)}"
        raise ValueError(msg)
    return text


def gateway_url(text: str) -> SplitResult:
    """What to dial for a gateway's URL: ws or wss, with the path of its agents.

    A ws or wss URL with a path says what to dial. All others are the gateway's own URL, such as a browser shows it.
    """
    url = urlsplit(text)
    if "@" in url.netloc:
        raise ValueError("credentials do not belong into the URL; use --token-file")
    usable = (
        url.scheme in _SCHEMES
        and is_name(url.hostname or "")
        and not url.fragment
        and (url.port is None or url.port > 0)
    )
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", text):
        meant = f"; is it https://{text}?" if re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?(/[\w/-]*)?", text) else ""
        msg = f"{text!r} is not a ws://, wss://, http:// or https:// URL with a host{meant}"
        raise ValueError(msg)
    path = url.path
    if url.scheme in {"http", "https"} or not path:
        path = path.rstrip("/").removesuffix(AGENTS_PATH) + AGENTS_PATH
    return url._replace(scheme=_SCHEMES[url.scheme], path=path)


def cluster(text: str) -> str:
    """The cluster's name; required."""
    if not text:
        raise ValueError("is required: the name of the cluster that this agent serves")
    return any_cluster(text)


def any_cluster(text: str) -> str:
    """The cluster's name, or nothing where its token says which it is."""
    if text and not _AGENT_ID.fullmatch(text):
        msg = f"{text!r} is not up to 128 letters, digits and . _ : -"
        raise ValueError(msg)
    return text


def agent_id(text: str) -> str:
    """The agent's name."""
    if not _AGENT_ID.fullmatch(text):
        msg = f"{text!r} is not up to 128 letters, digits and . _ : -"
        raise ValueError(msg)
    return text


def domain(text: str) -> str:
    """The cluster's DNS domain."""
    if not _DOMAIN.fullmatch(text) or ".." in text:
        msg = f"{text!r} is not a DNS domain such as cluster.local"
        raise ValueError(msg)
    return text


def bind_address(text: str) -> tuple[str, int] | None:
    """Host (empty: every address) and port to listen on; None for an empty text."""
    if not text:
        return None
    found = _BIND.fullmatch(text)
    usable = (
        found is not None
        and int(found["port"]) <= 65_535
        and _is_ipv6(found["ipv6"] or "::")
        and is_name(found["host"] or "localhost")
    )
    if found is None or not usable:
        msg = f'{text!r} is not HOST:PORT, such as "127.0.0.1:8081", "[::1]:8081", or ":8081" for every address'
        raise ValueError(msg)
    return found["ipv6"] or found["host"] or "", int(found["port"])


def http_origin(text: str) -> str:
    """An http:// URL of a host and a port, without more."""
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.path.strip("/") or url.query or "@" in url.netloc:
        raise ValueError("is not an http:// URL of a host and a port, such as http://127.0.0.1:8081")
    return f"http://{url.hostname if ':' not in url.hostname else f'[{url.hostname}]'}:{url.port or 80}"


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def boolean(text: str) -> bool:
    """true or false, in the usual spellings."""
    if text.lower() not in _TRUE + _FALSE:
        msg = f"{text!r} is neither true nor false"
        raise ValueError(msg)
    return text.lower() in _TRUE


def choice(*valid: str) -> Callable[[str], str]:
    """One of `valid`, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in valid:
            msg = f"{text!r} is not one of {', '.join(valid)}"
            raise ValueError(msg)
        return text.lower()

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A number of seconds between two bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            msg = f"{text!r} is not a number of seconds from {low:g} to {high:g}"
            raise ValueError(msg)
        return value

    return parse


def mebibytes(text: str) -> int:
    """A whole number of MiB, in bytes."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_536):
        msg = f"{text!r} is not a whole number of MiB from 1 to 65536"
        raise ValueError(msg)
    return int(text) * MIB

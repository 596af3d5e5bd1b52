"""The HTTP or SOCKS proxy on the way to a gateway: which one the environment names, and what its refusals mean.

`HTTPS_PROXY` or `ALL_PROXY` names it, `NO_PROXY` excludes gateways: `*`, a host, a domain with all below it (with or
without a dot before it), an address or a network, each with a port or without. Lower case wins over upper case, as in
curl. Never connects; no text that it makes has the proxy's credentials.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_SCHEMES = ("http", "https", "socks4", "socks5")
_STATUS = re.compile(r"status (\d{3})\b")
_ENTRY = re.compile(r"(?P<host>\[[^]]*\]|[^:]*)(?::(?P<port>\d+))?")
_ADVICE = {
    "407": "it wants credentials: write HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT",
    "403": "it does not let us reach this gateway: ask whoever runs it, or name the gateway in NO_PROXY",
}


def proxy_for(host: str, port: int, environment: Mapping[str, str]) -> str | None:
    """The URL of the proxy for a wss gateway at `host` and `port`; None: it is dialled directly."""

    def named(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name) or ""

    proxy = named("HTTPS_PROXY") or named("ALL_PROXY")
    if not proxy or any(_excludes(entry, host, port) for entry in re.split(r"[,\s]+", named("NO_PROXY"))):
        return None
    scheme, found, rest = proxy.partition("://")
    if not found:
        return f"http://{proxy}"
    # socks5h is curl's name for a proxy that looks names up itself: here all socks5 proxies do.
    return f"{'socks5' if scheme.lower() == 'socks5h' else scheme}://{rest}"


def is_usable(proxy: str) -> bool:
    """Whether `proxy` is a URL that can be dialled."""
    try:
        url = urlsplit(proxy)
        return url.scheme in _SCHEMES and url.port != 0 and bool(url.hostname and is_name(url.hostname))
    except ValueError:  # its text may have the credentials
        return False


def is_name(host: str) -> bool:
    """Whether the resolver takes `host`: with an empty label, or one of more than 63 characters, it raises."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def refusal(proxy: str, error: Exception) -> str:
    """What a proxy's refusal means, for the log."""
    return ": ".join(filter(None, refusal_and_advice(proxy, error)))


def refusal_and_advice(proxy: str, error: Exception) -> tuple[str, str]:
    """What a proxy said, and what to do; the second may be empty."""
    named = _named(proxy)
    status = _STATUS.search(str(error))
    if status is None:
        return f"{named} failed: {error}", ""
    return f"{named} answered {status[1]}", _ADVICE.get(status[1], "")


def failure_and_advice(proxy: str, why: str) -> tuple[str, str]:
    """Of a proxy that could not be connected to: what happened, and what to do."""
    return (
        f"cannot connect to {_named(proxy)}: {why}",
        "check HTTPS_PROXY or ALL_PROXY, or name the gateway in NO_PROXY",
    )


def _named(proxy: str) -> str:
    """Without its credentials."""
    url = urlsplit(proxy)
    return f"the proxy {url.scheme}://{url.netloc.rpartition('@')[2]}"


def _excludes(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names the gateway."""
    if entry == "*":
        return True
    address, network = _address(host), _network(entry.strip("[]"))
    if network is not None:
        return address is not None and address in network
    parts = _ENTRY.fullmatch(entry)
    if parts is None or parts["port"] not in (None, str(port)):
        return False
    named = parts["host"].strip("[]")
    if (network := _network(named)) is not None:
        return address is not None and address in network
    suffix = named.lower().removeprefix("*").lstrip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None

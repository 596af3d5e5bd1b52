"""The gateways that an agent keeps links to, and how it gets there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunnel.agent import user_settings, values
from tunnel.agent.proxies import is_usable, proxy_for
from tunnel.agent.source import SettingsError, Source, checked_as


@dataclass(slots=True, frozen=True)
class GatewayAddress:
    """One gateway to keep a link to. Only `url` has its query, which may be a secret."""

    url: str
    """What is dialled."""
    label: str
    """The same for the log."""
    typed: str = field(compare=False)
    """As the user wrote it, for the user."""
    proxy: str | None = field(default=None, repr=False)


def given(source: Source, user_file: Path | None) -> tuple[GatewayAddress, ...]:
    """Those of the command line, else of the variable, else the one of the user's settings. Raises SettingsError."""
    gateways = source.many("gateway", lambda text: address(text, source.environment)) or _of_user(source, user_file)
    if not gateways:
        raise SettingsError(
            "--gateway (AGENT_GATEWAY): is required; for example https://gateway.example.com "
            "(`tunnel-agent login` saves it with the token)"
        )
    if len({gateway.url for gateway in gateways}) < len(gateways):
        raise SettingsError("--gateway (AGENT_GATEWAY): the same URL is given twice")
    return gateways


def address(text: str, environment: Mapping[str, str]) -> GatewayAddress:
    """Of one URL. Raises ValueError with what would be valid."""
    url = values.gateway_url(text)
    proxy = proxy_for(url.hostname or "", url.port or 443, environment) if url.scheme == "wss" else None
    if proxy is not None and not is_usable(proxy):
        raise ValueError(
            "the proxy in HTTPS_PROXY or ALL_PROXY is no http://, https://, socks4:// or socks5:// URL with a host"
        )
    return GatewayAddress(url.geturl(), f"{url.scheme}://{url.netloc}{url.path}", text.partition("?")[0], proxy)


def _of_user(source: Source, file: Path | None) -> tuple[GatewayAddress, ...]:
    text = user_settings.load(file).gateway
    return (checked_as(f"{file}: gateway", text, lambda url: address(url, source.environment)),) if text else ()

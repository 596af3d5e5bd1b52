"""A warning for settings that only our own server uses."""

import logging
from typing import Any

import pytest

from tests.app.stage import Stage
from tests.fakes.loop import dialogue

OURS: list[tuple[dict[str, Any], str]] = [
    ({"admin_bind": ("127.0.0.1", 8081)}, "admin_bind"),
    ({"client_ping_interval": 20.0}, "client_ping_interval"),
    ({"client_ping_interval": None, "client_ping_timeout": None}, "client_ping_interval, client_ping_timeout"),
    ({"log_format": "json", "log_level": "warning"}, "log_format, log_level"),
    ({"max_connections": 100}, "max_connections"),
    ({"host": "::", "port": 80}, "host, port"),
    ({"proxy_protocol": True}, "proxy_protocol"),
    ({"tls_certificate": "tls.crt", "tls_key": "tls.key"}, "tls_certificate"),
    ({"proxy_protocol": True, "max_connections": 100}, "max_connections, proxy_protocol"),
]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [text for text in said if text.startswith("ignored")]


@pytest.mark.parametrize(("settings", "keys"), OURS)
@dialogue
async def test_what_is_not_in_force_is_said_once(caplog: pytest.LogCaptureFixture, settings: dict[str, Any], keys: str):
    async with Stage(0, **settings) as s:
        s.gateway.open()
        s.gateway.open()
        assert warnings(caplog) == [f"ignored under this server: {keys}; only python -m app uses these"]


@dialogue
async def test_nothing_is_said_of_other_settings(caplog: pytest.LogCaptureFixture):
    async with Stage(0, reconnect_grace=5.0) as s:
        s.gateway.open()
        assert warnings(caplog) == []


@pytest.mark.parametrize("settings", [settings for settings, _ in OURS])
@dialogue
async def test_nothing_is_said_under_our_server(caplog: pytest.LogCaptureFixture, settings: dict[str, Any]):
    async def stop_listening() -> None: ...

    async with Stage(0, **settings) as s:
        s.gateway.listeners.append(stop_listening)
        s.gateway.open()
        assert warnings(caplog) == []

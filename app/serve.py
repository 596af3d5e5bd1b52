"""uvicorn, set up for a gateway: what plain `uvicorn app.main:app` gets by default, and should not, is named here.

On SIGTERM or SIGINT the gateway drains first (WebSockets are told 1012, requests finish within `shutdown_grace`), and
the links close last; a second signal stops at once. uvicorn alone would close the agents' links at the first.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from app import log
from app.gateway import Gateway
from app.main import create_app
from app.settings import Settings

logger = logging.getLogger("gateway")


class GatewayServer(uvicorn.Server):
    """A uvicorn server whose signals are ours."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, grace_seconds: float) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._grace = grace_seconds
        self._drain: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours instead of uvicorn's: the process ends with status 0, and drains before the server stops."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._drain is not None:
            logger.warning("second signal: stopping at once")
            self.force_exit = self.should_exit = True
            return
        logger.info("%s: draining %d exchanges", signal.Signals(number).name, len(self._gateway.exchanges))
        self._drain = asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        try:
            await self._gateway.drain(self._grace)
            await self._gateway.aclose()
        finally:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so in one line."""
        await super().startup(sockets)
        if not self.should_exit:
            address = self.servers[0].sockets[0].getsockname()
            log.READY.info("ready: http://%s:%d", *address[:2])


def serve(settings: Settings, host: str, port: int) -> int:
    """Serve until a signal; the exit status."""
    log.configure(settings.log_level, settings.log_format)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws="websockets-sansio",
        loop="uvloop",
        log_config=None,
        access_log=False,  # ours says where it went
        proxy_headers=False,  # it would believe X-Forwarded-For of anyone on loopback; we have trusted_proxies
        server_header=False,  # the service's own Server and Date pass
        date_header=False,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,  # 18 KiB instead of up to 116 KiB for each idle WebSocket
        ws_ping_interval=30,
        ws_ping_timeout=60,
        timeout_graceful_shutdown=2,
        backlog=4096,
    )
    server = GatewayServer(config, app.state.gateway, settings.shutdown_grace)
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    except SystemExit as stop:  # uvicorn's way to say that it could not start: the line is in the log
        return 1 if stop.code else 0
    return 0 if server.started else 1

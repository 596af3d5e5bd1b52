"""uvicorn, set up for a gateway: what plain `uvicorn app.main:app` gets by default, and should not, is named here.

On SIGTERM or SIGINT the gateway drains first (not ready but serving for `drain_delay`, then WebSockets are told 1012
and requests finish within `shutdown_grace`), and the links close last; a second signal stops at once. uvicorn alone
would close the agents' links at the first. SIGHUP reads the configuration again. `admin_bind` is a second listener of
the same process.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from .main import create_app
from .node.gateway import Gateway
from .observed import log
from .operator.admin import create_admin_app
from .operator.reload import Reloader
from .server.collector import Collector
from .server.http import GatewayHttp
from .server.websocket import GatewayWebSocket
from .settings import Settings
from .settings.hosts import is_loopback

logger = logging.getLogger("gateway")

_LINGER_SECONDS = 0.25
"""For requests on connections that were accepted as the listener closed."""
_SERVER_GRACE_SECONDS = 2
"""For uvicorn, after our own drain: nothing should be left."""


class AdminServer(uvicorn.Server):
    """The operator's listener; its life is the gateway server's."""

    _running: asyncio.Task[None] | None = None

    async def begin(self) -> bool:
        """Listen; False when it cannot, and the reason is in the log."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        try:
            await self.startup()
        except SystemExit:  # uvicorn's way to say that the port is taken
            return False
        self._running = asyncio.get_running_loop().create_task(self.main_loop())
        return True

    async def end(self) -> None:
        """Stop; idempotent."""
        if self._running is not None:
            self.should_exit = True
            await self._running
            self._running = None
            await self.shutdown()


class GatewayServer(uvicorn.Server):
    """A uvicorn server whose signals are ours."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, reloader: Reloader, admin: AdminServer | None) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._reloader = reloader
        self._admin = admin
        self._stopping: asyncio.Task[None] | None = None
        self._collector = Collector(lambda: (len(gateway.exchanges), *gateway.metrics.activity()))
        gateway.listeners.append(self._stop_listening)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours instead of uvicorn's: the process ends with status 0, and drains before the server stops."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._reloader.start(sighup=True)
        try:
            yield
        finally:
            self._reloader.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping is not None:
            logger.warning("second signal: stopping at once")
            self.force_exit = self.should_exit = True
            return
        logger.info("%s: stopping", signal.Signals(number).name)
        self._stopping = asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        try:
            await self._gateway.begin_drain()
            await self._gateway.aclose()
        finally:
            self.should_exit = True

    async def _stop_listening(self) -> None:
        """New connections go elsewhere, or are refused and tried again.

        Requests that are on their way on fresh connections are still served; then idle connections are closed, and
        busy ones close with their answer: none may find us after the links are gone.
        """
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LINGER_SECONDS)
        for connection in list(self.server_state.connections):
            if isinstance(connection, GatewayHttp):
                connection.shutdown()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so in one line."""
        if self._admin is not None and not await self._admin.begin():
            raise SystemExit(1)
        await super().startup(sockets)
        if self.should_exit:
            return
        self._collector.start()
        address = self.servers[0].sockets[0].getsockname()
        log.READY.info("ready: http://%s:%d", *address[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, the operator's listener last."""
        self._collector.stop()
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # uvicorn leaves it out then, and logs its cancellation as an error
        if self._admin is not None:
            await self._admin.end()


def serve(settings: Settings, host: str, port: int) -> int:
    """Serve until a signal; the exit status."""
    log.configure(settings.log_level, settings.log_format)
    try:
        return _serve(settings, host, port)
    finally:
        log.finish()  # before Python writes a traceback, if there is one


def _serve(settings: Settings, host: str, port: int) -> int:
    app = create_app(settings)
    gateway: Gateway = app.state.gateway
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GatewayHttp,
        ws=GatewayWebSocket,
        loop="uvloop",
        log_config=None,
        access_log=False,  # ours says where it went
        proxy_headers=False,  # it would believe X-Forwarded-For of anyone on loopback; we have trusted_proxies
        server_header=False,  # the service's own Server and Date pass
        date_header=False,
        ws_max_size=settings.server_message_bytes,
        ws_per_message_deflate=False,  # 18 KiB instead of up to 116 KiB for each idle WebSocket
        ws_ping_interval=settings.client_ping_interval,
        ws_ping_timeout=settings.client_ping_timeout,
        timeout_graceful_shutdown=_SERVER_GRACE_SECONDS,
        backlog=4096,
        timeout_keep_alive=75,  # longer than proxies keep an idle connection to us: they must be the ones that close it
    )
    server = GatewayServer(config, gateway, app.state.reloader, _admin_server(settings, gateway))
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    except SystemExit as stop:  # uvicorn's way to say that it could not start: the line is in the log
        return 1 if stop.code else 0
    return 0 if server.started else 1


def _admin_server(settings: Settings, gateway: Gateway) -> AdminServer | None:
    if settings.admin_bind is None:
        return None
    host, port = settings.admin_bind
    open_to_all = settings.admin_token_hash is None and is_loopback(host)
    app = create_admin_app(gateway, open_to_all=open_to_all)
    return AdminServer(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SERVER_GRACE_SECONDS,
        )
    )

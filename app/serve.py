"""uvicorn set up for a gateway, in place of the defaults that plain `uvicorn app.main:app` has.

On SIGTERM or SIGINT the gateway drains first: it serves for `drain_delay` while not ready, then closes WebSockets with
1012 and lets requests finish within `shutdown_grace`. The links close last. A second signal stops at once. (uvicorn
alone would close the agents' links at the first signal.) SIGHUP reads the configuration again. `admin_bind` is a second
listener in the same process. With `tls_certificate` the public one speaks TLS.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import uvicorn

from tunnel.allocator import keep_freed_memory
from tunnel.slices import let_go

from .main import create_app
from .node.gateway import Gateway
from .observed import log
from .operator.admin import create_admin_app
from .operator.api.resources import Node
from .operator.reload import Reloader
from .operator.renewal import Renewal, files_of
from .operator.watch import Watch
from .server.balanced_listener import BalancedListener
from .server.collector import Collector
from .server.connection import Connection
from .server.connection_states import CLOSING
from .server.crowd import Crowd
from .server.descriptors import Room, raise_limit, room_for
from .server.doorman import Doorman
from .server.http import Protocol, ServerReception, reception_of
from .server.listener import Listener
from .server.memory import connections_in, memory_limit
from .server.spliced_channel import SplicedChannel
from .server.tls import ListenerContext
from .settings import Certificate, Settings, certificate_of
from .settings.hosts import is_loopback

logger = logging.getLogger("gateway")

_LINGER_SECONDS = 0.25
"""Time for requests on connections that were accepted just before the listener closed."""
_BACKLOG = 4096
"""Connections that the system completes before the loop accepts them."""
_CLOSES_PER_TURN = 100
"""Idle connections: 1 ms."""
_TLS_CLOSE_SECONDS = 1.0
"""Time for clients over TLS to take what is left and answer our close_notify: many with an idle connection never do."""
_SERVER_GRACE_SECONDS = 2
"""Time for uvicorn after our own drain, when nothing should be left."""


class AdminServer(uvicorn.Server):
    """The operator's listener. The gateway's server starts and stops it."""

    _running: asyncio.Task[None] | None = None

    async def begin(self) -> bool:
        """Listen. False: it cannot, and the log says why."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        try:
            await self.startup()
        except SystemExit:  # uvicorn raises it if the port is taken
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
    """A uvicorn server that drains the gateway on a signal."""

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, reloader: Reloader, admin: AdminServer | None,
        certificate: Certificate | None = None, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        """`certificate`: of the public listener. `watch`: of its files, begun before they were read."""
        super().__init__(config)
        self._gateway = gateway
        self._reloader = reloader
        self._admin = admin
        self._stopping: asyncio.Task[None] | None = None
        self._listener: Listener | BalancedListener | None = None  # None before the start
        self._crowd: Crowd | None = None  # likewise
        self.servers = []  # those of uvicorn: there are none
        self._tls: ListenerContext | None = None
        self._renewal: Renewal | None = None
        if certificate is not None:
            self._tls = ListenerContext(certificate.context, gateway.metrics.tls)
            self._renewal = Renewal(
                gateway.settings, certificate, self._tls.use, gateway.metrics.tls, gateway.events, watch=watch
            )
            reloader.hung_up.append(self._renewal.read)
        self._collector = Collector(lambda: (len(gateway.exchanges), *gateway.metrics.activity()))
        gateway.listeners.append(self._stop_listening)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in place of uvicorn: drain before the server stops, and end with status 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        self._reloader.start(sighup=True)
        if self._renewal is not None:
            self._renewal.start()
        try:
            yield
        finally:
            self._reloader.stop()
            if self._renewal is not None:
                self._renewal.stop()
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
        """Refuse new connections, then close the old ones.

        Requests on connections that were just accepted are still served. Then idle connections are closed at once and
        busy ones after their answer, so that no request arrives after the links are gone.
        """
        if self._listener is not None:
            await self._listener.close()
        await asyncio.sleep(_LINGER_SECONDS)
        connections: Iterator[object] = let_go(self.server_state.connections)
        for number, connection in enumerate(connections, 1):
            if isinstance(connection, Connection):
                connection.finish()
            if number % _CLOSES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  (none are given)
        """Start, and log one line when ready. In place of uvicorn's: the listener is ours."""
        if self._admin is not None and not await self._admin.begin():
            raise SystemExit(1)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit(1)
        loop = asyncio.get_running_loop()
        reception = reception_of(self.config, self.server_state, self.lifespan.state, loop)
        self._crowd = Crowd(
            reception, _room(self._gateway.settings.max_connections, tls=self._tls is not None), self._gateway.metrics
        )
        if self._tls is not None:
            self._tls.lets_in = self._crowd.lets_in
        listener = self._listener_of(reception, self._crowd, loop)
        try:
            await listener.open()
        except OSError as error:
            logger.error("%s", error)  # noqa: TRY400  (a traceback says no more)
            await self.lifespan.shutdown()
            raise SystemExit(1) from None
        self._listener = listener
        self.started = True
        self._collector.start()
        log.READY.info("ready: %s://%s:%d", "http" if self._tls is None else "https", *listener.address)

    def _listener_of(
        self, reception: ServerReception, crowd: Crowd, loop: asyncio.AbstractEventLoop
    ) -> Listener | BalancedListener:
        host, port = self.config.host, self.config.port
        if not self._gateway.settings.proxy_protocol:
            return Listener(lambda: Connection(reception, loop), host, port, backlog=_BACKLOG, tls=self._tls)
        return BalancedListener(
            partial(Connection, reception, loop), host, port, backlog=_BACKLOG, doorman=Doorman(self._gateway),
            tls=self._tls, room=crowd.places,
        )  # fmt: skip

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, the operator's listener last."""
        self._collector.stop()
        if self._crowd is not None:
            self._crowd.stop()
        if self._listener is not None:
            await self._listener.close()
        timer = asyncio.get_running_loop().call_later(_TLS_CLOSE_SECONDS, self._end_closing) if self._tls else None
        await super().shutdown(sockets)
        if timer is not None:
            timer.cancel()
        if self.force_exit:
            await self.lifespan.shutdown()  # uvicorn skips this on a forced exit and then logs an error
        if self._admin is not None:
            await self._admin.end()

    def _end_closing(self) -> None:
        """Stop waiting for close_notify. What the system has of an answer still reaches its client."""
        connections: list[object] = list(self.server_state.connections)
        for connection in connections:
            if isinstance(connection, Connection | SplicedChannel) and connection.state is CLOSING:
                transport = connection.transport
                if transport is not None:
                    transport.abort()


def serve(settings: Settings, host: str, port: int, *, made: Sequence[Path] = ()) -> int:
    """Serve until a signal. Returns the exit status. Raises ConfigurationError for a certificate that is not usable.

    `made`: token files that were made for this start. The log names them.
    """
    watch = Watch(files_of(settings))
    certificate = certificate_of(settings)
    log.configure(settings.log_level, settings.log_format)
    for file in made:
        log.READY.info("made %s with a new token: agents that have it may publish ports", file)
    keep_freed_memory()
    try:
        return _serve(settings, certificate, watch, host, port)
    finally:
        log.finish()  # before Python writes a traceback, if there is one


def _serve(settings: Settings, certificate: Certificate | None, watch: Watch, host: str, port: int) -> int:
    app = create_app(settings)
    gateway: Gateway = app.state.gateway
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",  # the door answers handshakes itself
        loop="uvloop",
        log_config=None,
        access_log=False,  # we write our own
        proxy_headers=False,  # uvicorn would trust X-Forwarded-For from any program on loopback; use trusted_proxies
        ws_max_size=settings.server_message_bytes,
        ws_ping_interval=settings.client_ping_interval,
        ws_ping_timeout=settings.client_ping_timeout,
        timeout_graceful_shutdown=_SERVER_GRACE_SECONDS,
        backlog=_BACKLOG,
        timeout_keep_alive=75,  # longer than proxies keep idle connections, so that the proxy closes first
    )
    server = GatewayServer(
        config, gateway, app.state.reloader, _admin_server(settings, app.state.node), certificate, watch
    )
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    except SystemExit as stop:  # uvicorn could not start; the log says why
        return 1 if stop.code else 0
    return 0 if server.started else 1


def _room(asked: int | None, *, tls: bool) -> Room:
    """For connections, under a limit of open files that is raised as far as it goes, and in the memory there is."""
    limit, memory = raise_limit(), memory_limit()
    room = room_for(limit, connections_in(memory, tls=tls) if asked is None and memory is not None else asked)
    if asked is not None and asked > room.most:
        logger.warning(
            "max_connections is %d, but a limit of %d open files leaves room for %d: raise that limit (LimitNOFILE, "
            "ulimit -n)",
            asked, limit, room.most,
        )  # fmt: skip
    return room


def _admin_server(settings: Settings, node: Node) -> AdminServer | None:
    if settings.admin_bind is None:
        return None
    host, port = settings.admin_bind
    open_to_all = settings.admin_token_hash is None and is_loopback(host)
    app = create_admin_app(node.gateway, node, open_to_all=open_to_all)
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

"""The agent as a whole: one keeper per gateway, signals, and the orderly stop.

Never carries data and reads no environment. Invariants: after the first signal no new exchange is taken and running
ones have `grace_seconds`; after the second nothing is waited for; no task is left when `run` returns.
"""

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import Sequence

from tunnel.account import Account
from tunnel.agent import paths, signals
from tunnel.agent.control import Identity
from tunnel.agent.extension import Extension, Extensions
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.health.listener import HealthListener
from tunnel.agent.keeper import Access, Keeper
from tunnel.agent.link import GatewayLink, Terms
from tunnel.agent.log import Quota, report_fault
from tunnel.agent.report import Reporter
from tunnel.agent.service.services import Services
from tunnel.agent.settings import AgentSettings
from tunnel.agent.source import SettingsError
from tunnel.version import VERSION

log = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0
"""How long closed links may take until their tasks end."""

with contextlib.suppress(ImportError):
    import resource


class Runner:
    """One agent."""

    def __init__(self, settings: AgentSettings, extensions: Extensions | None = None) -> None:
        self._settings = settings
        self._extensions = extensions
        self._announced = False
        self._signals = 0
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        access = Access(settings.read_token, settings.tls)
        terms = _terms(settings)
        each: Sequence[Extension | None] = [None] * len(settings.gateways) if extensions is None else extensions.each
        self._keepers = [
            Keeper(gateway, access, terms, self._ready, extension)
            for gateway, extension in zip(settings.gateways, each, strict=True)
        ]
        self._health = HealthListener(Reporter(terms, self._keepers, settings.memory_bytes).report)

    async def run(self) -> None:
        """Serve until a signal, then stop. Raises SettingsError before anything is dialled."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report_fault)
        for number in (signal.SIGTERM, signal.SIGINT):
            signals.on(number, self.stop)
        self._warn()
        await self._listen()
        if self._extensions is not None:
            self._extensions.begin(self.stop, self._round_trip)
        tasks = [asyncio.create_task(keeper.run()) for keeper in self._keepers]
        unwatch = paths.watch(self._path_changed)
        try:
            await self._stop.wait()
            log.info("stopping: running streams have %g s", self._settings.grace_seconds)
            if self._extensions is not None:
                self._extensions.leave()
            for keeper in self._keepers:
                keeper.drain()
            await self._until_over(tasks, self._settings.grace_seconds)
            for keeper in self._keepers:
                keeper.close()
            await self._until_over(tasks, CLOSING_SECONDS)
        finally:
            unwatch()
            self._health.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        log.info("stopped")

    async def _listen(self) -> None:
        if self._settings.health_bind is None:
            return
        host, port = self._settings.health_bind
        try:
            await self._health.start(host, port)
        except OSError as error:
            why = error.strerror or str(error)
            msg = f"--health-bind (AGENT_HEALTH_BIND): cannot listen on {host}:{port}: {why}; choose another address"
            raise SettingsError(msg) from None

    def stop(self) -> None:
        """The first call drains, the second ends everything at once."""
        self._signals += 1
        (self._stop if self._signals == 1 else self._stop_now).set()

    def _path_changed(self) -> None:
        for keeper in self._keepers:
            keeper.path_changed()

    def _round_trip(self) -> float | None:
        """Of the first link that knows it."""
        known = (keeper.link.round_trip_seconds for keeper in self._keepers if keeper.link is not None)
        return next((seconds for seconds in known if seconds is not None), None)

    async def _until_over(self, tasks: list[asyncio.Task[None]], seconds: float) -> None:
        over = asyncio.ensure_future(asyncio.wait(tasks))
        hurry = asyncio.ensure_future(self._stop_now.wait())
        try:
            await asyncio.wait((over, hurry), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            hurry.cancel()

    def _warn(self) -> None:
        """Log settings that an operator may not have meant."""
        settings = self._settings
        if not settings.services and not settings.allow:
            log.warning("nothing is reachable: neither --service nor --allow is given")
        if settings.token.warning:
            log.warning("%s", settings.token.warning)
        if settings.tls is not None and settings.tls.verify_mode is ssl.CERT_NONE:
            log.warning("--insecure-skip-verify: whoever answers at a gateway's address gets the token")

    def _ready(self, gateway: GatewayAddress, link: GatewayLink) -> None:
        first, self._announced = not self._announced, True
        what = "ready: cluster %s serves through %s (link %s)" if first else "cluster %s serves through %s (link %s)"
        log.info(what, self._settings.cluster or "of the token", gateway.label, link.name)


def _terms(settings: AgentSettings) -> Terms:
    return Terms(
        identity=Identity(settings.agent_id, settings.cluster, settings.hostname, VERSION),
        services=Services(settings.services, settings.allow, settings.cluster_domain, settings.api_hosts),
        account=Account(2 * settings.memory_bytes),  # windows stop growing at half of an account's high mark
        quota=Quota(),
        ping_seconds=settings.ping_seconds,
        dead_seconds=settings.dead_seconds,
        dial_seconds=settings.dial_seconds,
        dialect=settings.dialect,
    )


def allow_many_connections() -> None:
    """Allow as many file descriptors as the system permits: each exchange needs one."""
    with contextlib.suppress(NameError, OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

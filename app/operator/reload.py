"""Reloads the configuration while the gateway runs: when its files change, and on SIGHUP.

`gateway.settings` is replaced as a whole or not at all. A wrong file changes nothing and is logged once per error. The
status of the files is checked once a second (a switched symlink counts, as in a ConfigMap). They are read when they
have not changed for a second, so that a file is not read while it is being written. Reading, checking and comparing
are done in a thread; the event loop only puts the result in force.

A setting that cannot change in a running process keeps its value, and a warning names it. Links of a revoked token are
closed with 1008. Links of a token that is only missing stay until they end; then their agent is refused. If they carry
nothing but published ports, they are closed too: no token covers these any more, and the agent may have a new one.
"""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ..node.gateway import Gateway
from ..observed.events import EventKind
from ..settings import ConfigurationError, Settings, load
from .watch import POLL_SECONDS, Stamp, Watch

logger = logging.getLogger("gateway.reload")

NEEDS_RESTART = (
    "admin_bind", "client_ping_interval", "client_ping_timeout", "cluster", "held_bytes_hard_limit", "held_bytes_limit",
    "host", "log_format", "log_level", "max_connections", "port", "proxy_protocol", "reconnect_grace",
    "spool_bytes_limit", "state_dir", "tls_certificate", "tls_key",
)  # fmt: skip
"""Read once, at the start: by listeners, the server, the account, the log and the registry."""

_ERRORS_SHOWN = 10
"""Of a configuration, in the text; in the fields of the line ten times as many. `tunnel-gateway check` shows all."""
_ERRORS_LOGGED = 100

REVOKED = (1008, "token revoked")
WITHDRAWN = (1008, "token withdrawn")
_UNCHANGED = "configuration not changed: "
_NO_FILE = "this gateway was started without a configuration file, so there is nothing to read again"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload that somebody asked for. `errors`: why nothing has changed."""

    changed: bool
    message: str
    errors: tuple[str, ...] = ()


_STOPPING = Outcome(False, "the gateway is stopping", ("the gateway is stopping",))
_FAILED = Outcome(False, "the reload failed; see the log", ("the reload failed; see the log",))


class _Change:
    """Other settings, and all that comparing them with the old ones says: with thousands of routes that takes long."""

    def __init__(self, old: Settings, new: Settings) -> None:
        self.old = old
        self.warnings: list[tuple[str, *tuple[object, ...]]] = []
        kept = {name: getattr(old, name) for name in NEEDS_RESTART if getattr(old, name) != getattr(new, name)}
        for name, value in kept.items():
            self.warnings.append(("%s changed: %r stays in force until the gateway is restarted", name, value))
        if old.admin_bind is not None and new.admin_token_hash is None and old.admin_token_hash is not None:
            # The listener stays, and must not become open to all.
            kept["admin_token_hash"] = old.admin_token_hash
            self.warnings.append(
                ("the admin token was removed: the old one stays valid until the gateway is restarted",)
            )
        self.new = dataclasses.replace(new, **kept)
        self.server_message_bytes = new.server_message_bytes
        known = frozenset(old.warnings())
        self.warnings += [("%s", text) for text in new.warnings() if text not in known]
        self.is_none = _same(old, self.new)
        self.summary = self.new.summary()


class Reloader:
    """Keeps the settings of one gateway up to date with its files."""

    def __init__(
        self,
        gateway: Gateway,
        path: str | None = None,
        *,
        reader: Callable[[], Settings] | None = None,
        worker: Executor | None = None,
    ) -> None:
        """`path`: the file. None: the file of the gateway's settings. `reader`: instead of `load`.

        `worker`: where to read. None: in the loop's threads.
        """
        self._gateway = gateway
        self._path = path or gateway.settings.file
        self._read = reader or partial(load, self._path, arguments=gateway.settings.arguments)
        self._worker = worker
        self._reading = False
        self._again = False  # asked for while it was being read
        self._asked: list[asyncio.Future[Outcome]] = []  # who waits for the next reading
        self._started_with = gateway.settings  # the server was set up with these
        self._server_message_bytes = gateway.settings.server_message_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._watch = Watch(self._files())
        self._refused = ""
        self._on_sighup = False
        self._before_sighup: Any = None  # the process's handler before ours; `nohup` ignores the signal
        self.hung_up: list[Callable[[], None]] = []
        """Called on SIGHUP as well."""
        self.refused = 0
        """Reloads that failed because the configuration was wrong."""

    def start(self, *, sighup: bool = False) -> None:
        """Start to watch the files. `sighup`: handle that signal too, in a process of our own. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(POLL_SECONDS, self._poll)
        if sighup and not self._on_sighup:
            # Only the loop of the main thread can handle it, on a system that has the signal.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError, AttributeError):
                before = signal.getsignal(signal.SIGHUP)
                loop.add_signal_handler(signal.SIGHUP, self._hang_up)
                self._before_sighup = before
                self._on_sighup = True

    def stop(self) -> None:
        """Stop watching; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settle(self._asked, _STOPPING)
        if self._on_sighup:
            self._on_sighup = False
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
                if self._before_sighup is not None:
                    signal.signal(signal.SIGHUP, self._before_sighup)

    def reload(self) -> str:
        """Read and apply the files now, in one piece. Returns what happened, as logged. Never raises."""
        before = self._begin()
        try:
            return self._finish(before, self._prepare())
        except ConfigurationError as error:
            return self._refuse(error)

    async def ask(self) -> Outcome:
        """Read the files now, aside, and return what came of it. Whoever asks meanwhile waits for the next reading."""
        if self._timer is None:
            return Outcome(False, _NO_FILE, (_NO_FILE,))
        self._refused = ""  # somebody asked, so repeat the answer
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked.append(waiting)
        self._reload_aside()
        return await waiting

    @property
    def applied(self) -> int:
        """Reloads that changed the settings."""
        return self._gateway.metrics.reloads.applied

    @property
    def error(self) -> str | None:
        """Why what the files said last is not in force."""
        return self._refused.removeprefix(_UNCHANGED) or None

    def _reload_aside(self) -> None:
        """Like `reload`, but whatever takes long is done in a thread; one at a time."""
        if self._reading:
            self._again = True
            return
        self._reading = True
        asked, self._asked = self._asked, []
        before = self._begin()
        running = asyncio.get_running_loop().run_in_executor(self._worker, self._prepare)
        running.add_done_callback(partial(self._prepared, before, asked))

    def _prepared(
        self, before: Stamp, asked: "list[asyncio.Future[Outcome]]", running: "asyncio.Future[_Change]"
    ) -> None:
        self._reading = False
        if running.cancelled() or self._timer is None:
            self._settle(asked, _STOPPING)
            return
        applied = self.applied
        try:
            text = self._finish(before, running.result())
            outcome = Outcome(self.applied > applied, text)
        except ConfigurationError as error:
            outcome = Outcome(False, self._refuse(error), error.errors[:_ERRORS_LOGGED])
        except Exception:
            self._gateway.metrics.reloads.failed()
            logger.exception("the reload failed")
            self._refused = _FAILED.message
            outcome = _FAILED
        self._settle(asked, outcome)
        if self._again:
            self._again = False
            self._reload_aside()

    @staticmethod
    def _settle(asked: "list[asyncio.Future[Outcome]]", outcome: Outcome) -> None:
        for waiting in asked:
            if not waiting.done():
                waiting.set_result(outcome)
        asked.clear()

    def _begin(self) -> Stamp:
        return self._watch.take(self._files())

    def _prepare(self) -> "_Change":
        """Read the files, and compare what they say. Changes nothing. Raises ConfigurationError."""
        new = self._read()
        old = self._gateway.settings
        if (old.routes.routes or old.grants) and not (new.routes.routes or new.grants):
            raise ConfigurationError(
                "the file has no routes and no agents any more, and may be cut short. If this is intended, restart"
            )
        return _Change(old, new)

    def _finish(self, before: Stamp, change: "_Change") -> str:
        self._refused = ""
        text = self._put_in_force(change)
        # The file may name other files now. Keep the old stamps of known ones: one may have changed in between.
        self._watch.take(self._files(), before)
        return text

    def _refuse(self, error: ConfigurationError) -> str:
        self.refused += 1
        self._gateway.metrics.reloads.failed()
        shown, more = error.errors[:_ERRORS_SHOWN], len(error.errors) - _ERRORS_SHOWN
        text = f"{_UNCHANGED}{'; '.join(shown)}{f'; and {more} more errors' if more > 0 else ''}"
        if text != self._refused:
            self._refused = text
            logger.error("%s", text, extra={"fields": {"errors": error.errors[:_ERRORS_LOGGED]}})
            self._gateway.events.emit(EventKind.CONFIGURATION_REFUSED, text, level="error")
        return text

    def apply(self, new: Settings) -> str:
        """Replace the gateway's settings, and close the links that may not go on. Returns what happened."""
        return self._put_in_force(_Change(self._gateway.settings, new))

    def _put_in_force(self, change: "_Change") -> str:
        if change.old is not self._gateway.settings:  # they were replaced while this was prepared
            change = _Change(self._gateway.settings, change.new)
        for text, *values in change.warnings:
            logger.warning(text, *values)
        if change.server_message_bytes > self._server_message_bytes:
            logger.warning(
                "max_message_bytes was raised: the server accepts at most %d until the gateway is restarted",
                self._started_with.longest_message_bytes,
            )
        self._gateway.apply(change.new)
        if change.is_none:
            text = "configuration read again: nothing changed"
        else:
            text = f"configuration reloaded from {change.new.file or 'the environment'}: {change.summary}"
            self._gateway.events.emit(EventKind.CONFIGURATION_RELOADED, text)
        self._gateway.metrics.reloads.took(time.time(), changed=not change.is_none)
        logger.info("%s", text)
        self._end_links()
        return text

    def _end_links(self) -> None:
        grants = self._gateway.settings.grants
        forgotten = 0
        for link in self._gateway.registry.links():
            grant = grants.get(link.token_hash)
            if grant is not None and grant.revoked:
                logger.warning("%s: agent %s of cluster %s: token revoked", link.name, link.agent_id, link.cluster)
                link.close(*REVOKED)
            elif link.publisher and (grant is None or link.cluster not in grant.clusters):
                logger.warning("%s: agent %s of cluster %s: token withdrawn", link.name, link.agent_id, link.cluster)
                link.close(*WITHDRAWN)
            elif grant is None:
                forgotten += 1
        if forgotten:
            logger.warning(
                "%d links stay open, but their tokens are not in the configuration any more; to close such links, keep "
                "the entry and set revoked = true",
                forgotten,
            )

    def _hang_up(self) -> None:
        self._refused = ""  # somebody asked, so repeat the answer
        logger.info("SIGHUP: reading the configuration again")
        self._reload_aside()
        for also in self.hung_up:
            also()

    def _poll(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._poll)
        if self._watch.has_settled(self._files()):
            self._reload_aside()

    def _files(self) -> list[str]:
        return list(dict.fromkeys([*([self._path] if self._path else []), *self._gateway.settings.files_read]))


def _same(old: Settings, new: Settings) -> bool:
    """Whether both are equal. Route tables are compared by their routes."""
    return old.routes.routes == new.routes.routes and dataclasses.replace(old, routes=new.routes) == new

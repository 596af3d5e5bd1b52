"""Renews the certificate of the public listener when its files change, and on SIGHUP.

It stands apart from the configuration: a wrong configuration does not hold up a renewed certificate, and an unusable
certificate does not hold up routes. New handshakes get the new certificate; open connections keep theirs. If the files
cannot be used, nothing changes: the reason is logged and counted. They are read in a thread.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from concurrent.futures import Executor

from ..observed.events import EventKind, Events
from ..observed.metrics import Tls
from ..settings import Certificate, ConfigurationError, Settings, certificate_of
from .watch import POLL_SECONDS, Watch

logger = logging.getLogger("gateway.tls")


def files_of(settings: Settings) -> list[str]:
    """The files of the listener's certificate; none without TLS."""
    return [name for name in (settings.tls_certificate, settings.tls_key) if name is not None]


class Renewal:
    """Keeps the certificate up to date with its files, whose names are in the settings of the start."""

    def __init__(
        self, settings: Settings, certificate: Certificate, use: Callable[[ssl.SSLContext], None], counts: Tls,
        events: Events, worker: Executor | None = None, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        """`certificate`: the one of the start. `use` is told the context of each later one.

        `worker`: where to read. None: in the loop's threads. `watch`: of `files_of(settings)`, begun before they were
        read for the first time.
        """
        self._settings = settings
        self._in_force = certificate
        self._use = use
        self._counts = counts
        self._events = events
        self._worker = worker
        self._files = files_of(settings)
        self._watch = watch or Watch(self._files)
        self._timer: asyncio.TimerHandle | None = None
        self._reading = False
        self._again = False  # asked for while they were being read
        counts.not_after = certificate.not_after

    def start(self) -> None:
        """Start to watch the files; idempotent. Says what is in force."""
        if self._timer is None:
            logger.info("certificate of %s: %s", self._files[0], self._in_force)
            self._warn(self._in_force)
            self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._poll)

    def stop(self) -> None:
        """Stop watching; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def read(self) -> None:
        """Read the files now, one reader at a time. Does nothing unless it was started."""
        if self._timer is None:
            return
        if self._reading:
            self._again = True
            return
        self._reading = True
        self._watch.take(self._files)
        running = asyncio.get_running_loop().run_in_executor(self._worker, certificate_of, self._settings)
        running.add_done_callback(self._was_read)

    def _was_read(self, running: "asyncio.Future[Certificate | None]") -> None:
        self._reading = False
        if running.cancelled() or self._timer is None:
            return  # stopped meanwhile
        try:
            certificate = running.result()
        except ConfigurationError as error:
            text = "; ".join(error.errors)
            logger.error("certificate not changed: %s", text)  # noqa: TRY400  (a traceback says no more)
            self._refuse(text)
        except Exception:
            logger.exception("the renewal of the certificate failed")
            self._refuse("it could not be read; the log has the error")
        else:
            if certificate is not None:
                self._put_in_force(certificate)
        if self._again:
            self._again = False
            self.read()

    def _refuse(self, why: str) -> None:
        self._counts.renewals_failed += 1
        self._events.emit(EventKind.CERTIFICATE_REFUSED, f"certificate not changed: {why}", level="error")

    def _put_in_force(self, certificate: Certificate) -> None:
        if certificate.digest == self._in_force.digest:
            logger.info("certificate read again: nothing changed")
            return
        self._use(certificate.context)
        self._in_force = certificate
        self._counts.renewals += 1
        self._counts.not_after = certificate.not_after
        logger.info("certificate renewed from %s: %s", self._files[0], certificate)
        self._events.emit(EventKind.CERTIFICATE_RENEWED, f"certificate renewed from {self._files[0]}: {certificate}")
        self._warn(certificate)

    def _warn(self, certificate: Certificate) -> None:
        warning = certificate.warning()
        if warning is not None:
            logger.warning("%s: %s", self._files[0], warning)

    def _poll(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._poll)
        if self._watch.has_settled(self._files):
            self.read()

    def __repr__(self) -> str:
        return f"<Renewal of {self._files[0]}, {self._in_force}>"

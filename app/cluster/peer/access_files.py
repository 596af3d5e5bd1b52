"""The files that let nodes link with each other, read again when they change: secrets are rotated while nodes run.

A file that cannot be used any more changes nothing: what it had goes on, with one warning.
"""

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ...settings.cluster import ClusterSettings, secrets_of
from . import tls
from .handshake import Access

logger = logging.getLogger("gateway.cluster")

Content = TypeVar("Content")
_Stamp = tuple[tuple[int, int, int], ...]


class _Files(Generic[Content]):
    """What is made of files, made anew when one of them has changed."""

    def __init__(self, files: tuple[str, ...], make: Callable[[], Content]) -> None:
        """Raises what `make` raises."""
        self._files = files
        self._make = make
        self._stamp = self._look()
        self.content = make()

    def look(self) -> bool:
        """Read again what has changed. Returns whether there is something new."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.content = self._make()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            logger.warning("%s cannot be used, what it had goes on: %s", " and ".join(self._files), error)
            return False
        logger.info("read %s again", " and ".join(self._files))
        return True

    def _look(self) -> _Stamp:
        found = []
        for file in self._files:
            try:
                status = Path(file).stat()
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


class AccessFiles:
    """The secrets and certificates of one node. Raises OSError and ValueError when it is made."""

    def __init__(self, settings: ClusterSettings) -> None:
        secret_file = settings.peer_secret_file
        self._has_ca = settings.peer_ca_file is not None
        self._secrets = _Files((secret_file,), lambda: _secrets(secret_file)) if secret_file is not None else None
        files = tuple(
            file for file in (settings.peer_certificate, settings.peer_key, settings.peer_ca_file) if file is not None
        )
        self._client = _Files(files, lambda: _client(settings)) if files else None
        self.server = _server(settings)
        """TLS of the listener; None: plain."""
        self._settings = settings

    @property
    def secret(self) -> bytes | None:
        """What this node presents."""
        return self._secrets.content[0] if self._secrets is not None else None

    @property
    def client(self) -> ssl.SSLContext | None:
        """TLS of the dialler."""
        return self._client.content if self._client is not None else None

    @property
    def access(self) -> Access:
        """Who may link with this node."""
        return Access(self._secrets.content if self._secrets is not None else (), certificates=self._has_ca)

    def look(self) -> None:
        """Read again what has changed. Every few seconds: it looks at each file."""
        if self._secrets is not None:
            self._secrets.look()
        if self._client is not None and self._client.look() and self.server is not None:
            certificate, key = self._settings.peer_certificate, self._settings.peer_key
            if certificate is not None:
                self.server.load_cert_chain(certificate, key)


def _secrets(file: str) -> tuple[bytes, ...]:
    return tuple(secret.encode() for secret in secrets_of(Path(file).read_text(encoding="utf-8")))


def _client(settings: ClusterSettings) -> ssl.SSLContext:
    return tls.client_context(
        ca_file=_path(settings.peer_ca_file), certificate=_path(settings.peer_certificate),
        key=_path(settings.peer_key),
    )  # fmt: skip


def _server(settings: ClusterSettings) -> ssl.SSLContext | None:
    if settings.peer_certificate is None:
        return None
    return tls.server_context(
        Path(settings.peer_certificate), _path(settings.peer_key), ca_file=_path(settings.peer_ca_file),
        required=settings.peer_ca_file is not None and settings.peer_secret_file is None,
    )  # fmt: skip


def _path(file: str | None) -> Path | None:
    return Path(file) if file is not None else None

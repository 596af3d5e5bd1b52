"""One connection to NATS, from the dial to its end. It is never revived: `engine` makes another.

The only file that imports `nats`, and the only one that knows its insides. What is changed of its client, and why:

- No reconnecting of its own. It gives up for good on some errors, notices a dead TLS connection after half a minute,
  and sends late what was published while it was away.
- The end is known at once (`ended`), not after the transport has closed in good order, which it may never do.
- Whoever closes it waits until all of it has ended.
- A request that waits when the connection ends fails then, not at its timeout.
- Secrets go to a server that speaks TLS, wherever TLS is asked for. The client would follow a server that says that it
  needs none.

Its `flush` is never used: where the answer comes later than the timeout, it kills the client's reader.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import Client

from ..settings.cluster import ClusterSettings
from .requests import ForbiddenError, LostError, Message, NoAnswerError, NobodyError, NotSentError

logger = logging.getLogger("gateway.cluster")

PING_SECONDS = 1
UNANSWERED_PINGS = 2
CONNECT_SECONDS = 2
"""For each step: TCP, TLS, each line of the greeting."""
DIAL_SECONDS = 4
"""For all of them. A wrong CA would otherwise hang for good."""
END_SECONDS = 1
REQUEST_SECONDS = 2

_FORBIDDEN = re.compile(r"permissions violation for (publish|subscription) to \"?([^\"' ]+)")

"""The server names the subject as it was; the client makes all of it lower case."""

_MANY_FORBIDDEN = 64
"""Subjects that are told and remembered. Some carry the name of a consumer, which is new each time."""


class DialError(Exception):
    """There is no connection, and why."""


class _Client(Client):
    """nats-py's client with the changes that the top of this file names."""

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self._needs_tls = needs_tls
        self._closed: asyncio.Event | None = None

    def _connect_command(self) -> bytes:
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise errors.Error("the server offers no TLS, and the configuration asks for it")
        return super()._connect_command()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self._tell_end()
        if self._closed is not None:  # by a task of its own, which nobody else would wait for
            await self._closed.wait()
            return
        self._closed = asyncio.Event()
        try:
            await super()._close(status, do_cbs)
        finally:
            self._closed.set()

    async def _process_op_err(self, e: Exception) -> None:
        if not self.is_closed:
            self._err = e
            self._tell_end()
        await super()._process_op_err(e)

    def _tell_end(self) -> None:
        self.ended.set()
        for future in list(self._resp_map.values()):
            if not future.done():
                future.set_exception(errors.ConnectionClosedError())

    def abort(self) -> None:
        """Drop the transport as it is."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


class Connection:
    """One live connection. `forbidden(verb, subject)` is called for each thing that NATS does not allow this user."""

    def __init__(self, client: _Client, server: str, forbidden: Callable[[str, str], None]) -> None:
        self._client = client
        self._told_forbidden = forbidden
        self._forbidden: set[str] = set()
        self._last_error: Exception | None = None
        self.server = server

    @property
    def ended(self) -> asyncio.Event:
        """Set as soon as it is known that nothing more will pass."""
        return self._client.ended

    @property
    def why(self) -> str:
        """What ended it, for the operator."""
        return reason(self._client.last_error or self._last_error)

    @property
    def version(self) -> str:
        """The server's."""
        return repr(self._client.connected_server_version).removeprefix("<nats server v").removesuffix(">")

    @property
    def max_payload(self) -> int:
        """The longest message that the server takes."""
        return self._client.max_payload

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """The answer. Raises RequestError."""
        if self.ended.is_set():
            raise NotSentError(self.why)
        try:
            answer = await self._client.request(subject, payload, timeout=seconds, headers=headers)
        except errors.NoRespondersError:
            raise NobodyError(f"nobody answers {subject}; JetStream is off, or not for this account") from None
        except errors.TimeoutError:
            if subject.lower() in self._forbidden:
                raise ForbiddenError(f"NATS does not allow this user to publish {subject}") from None
            raise NoAnswerError(f"NATS did not answer {subject} within {seconds:g} s") from None
        except (errors.ConnectionClosedError, OSError):
            raise LostError(self.why) from None
        except errors.Error as error:
            raise NotSentError(reason(error)) from None
        return bytes(answer.data)

    async def publish(self, subject: str, payload: bytes = b"") -> None:
        """Send, and expect nothing. Raises NotSentError."""
        if self.ended.is_set():
            raise NotSentError(self.why)
        try:
            await self._client.publish(subject, payload)
        except (errors.ConnectionClosedError, OSError):
            raise NotSentError(self.why) from None

    async def subscribe(
        self, subject: str, receive: Callable[[Message], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Have each message passed to `receive`, one after the other. Returns what ends it. Raises NotSentError."""

        async def received(message: Message) -> None:  # the client asks for a coroutine function
            await receive(message)

        try:
            subscription = await self._client.subscribe(subject, cb=received)
        except (errors.ConnectionClosedError, OSError):
            raise NotSentError(self.why) from None

        async def unsubscribe() -> None:
            if not self.ended.is_set():
                try:
                    await subscription.unsubscribe()
                except (errors.Error, OSError):
                    return

        return unsubscribe

    def new_inbox(self) -> str:
        """A subject that only this connection knows."""
        return self._client.new_inbox()

    async def end(self) -> None:
        """End it, within two seconds, whatever state it is in. Nothing of it is left then."""
        self._client.ended.set()
        closing = asyncio.ensure_future(self._close())
        if not (await asyncio.wait({closing}, timeout=END_SECONDS))[0]:
            self._client.abort()
            await asyncio.wait({closing}, timeout=END_SECONDS)
        closing.cancel()
        await asyncio.wait({closing})

    async def _close(self) -> None:
        try:
            await self._client.close()
        except Exception as error:  # noqa: BLE001 - of a client that never began to connect
            logger.debug("closing a connection to %s: %s", self.server, error)

    async def abort(self) -> None:
        """End it without a word: for one that is known to be dead."""
        self._client.abort()
        await self.end()

    async def _error(self, error: Exception) -> None:
        found = _FORBIDDEN.search(str(error))
        if found is None:
            self._last_error = error
            return
        subject = "_inbox.>" if found[2].startswith("_inbox.") else found[2]
        if subject not in self._forbidden and len(self._forbidden) < _MANY_FORBIDDEN:
            self._forbidden.add(subject)
            self._told_forbidden(found[1], subject)


async def dial(
    settings: ClusterSettings, server: str, *, name: str, forbidden: Callable[[str, str], None]
) -> Connection:
    """Connect to one server. Raises DialError."""
    needs_tls = settings.needs_tls or urlsplit(server).scheme == "tls"
    try:
        options = await asyncio.to_thread(_options, settings, needs_tls=needs_tls)
    except (OSError, ValueError) as error:
        raise DialError(str(error)) from None
    client = _Client(needs_tls=needs_tls)
    connection = Connection(client, server, forbidden)
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await client.connect(
                servers=[server],
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                max_outstanding_pings=UNANSWERED_PINGS,
                pending_size=0,
                error_cb=connection._error,  # noqa: SLF001 - its own connection
                **options,
            )
    except Exception as error:  # noqa: BLE001 - the client lets through what nkeys, ssl and json raise
        why = reason(connection._last_error if isinstance(error, errors.NoServersError) else error)  # noqa: SLF001
        await connection.abort()
        raise DialError(why) from None
    except asyncio.CancelledError:
        await connection.abort()
        raise
    return connection


def _options(settings: ClusterSettings, *, needs_tls: bool) -> dict[str, Any]:
    """What identifies this node to the server. Reads files. Raises OSError, ValueError, with the key in the text."""
    options: dict[str, Any] = {}
    if settings.user is not None:
        options["user"] = settings.user
    if settings.password_file is not None:
        options["password"] = _text("password_file", settings.password_file)
    if settings.credentials_file is not None:
        if "BEGIN NATS USER JWT" not in _text("credentials_file", settings.credentials_file):
            raise ValueError(f"credentials_file {settings.credentials_file} has no user's JWT")
        options["user_credentials"] = settings.credentials_file
    if settings.nkey_file is not None:
        options["nkeys_seed_str"] = _text("nkey_file", settings.nkey_file)
    if needs_tls:
        options["tls"] = _tls(settings)
    return options


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key has a passphrase; write it without")


def _text(key: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{key} {path} cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None


def _tls(settings: ClusterSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file {settings.ca_file} cannot be used: {error}") from None
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, _no_passphrase)
        except (OSError, ValueError) as error:
            raise ValueError(f"certificate {settings.certificate} cannot be used: {error}") from None
    return context


def reason(error: BaseException | None) -> str:
    """What an error says to the operator: never empty, without the client's own prefix."""
    if error is None:
        return "the connection ended"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was refused: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__

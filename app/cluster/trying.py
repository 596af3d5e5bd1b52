"""Tries what a node needs of `[cluster]`, for `tunnel-gateway check --connect`: NATS, its buckets, the other nodes.

Each server is dialled; over the first that answers each bucket is opened, made if there is none as the first node would
make it, watched, and asked for a write that changes nothing. Then each node that beats is dialled as a node would, and
left again before anything is carried. Nothing is logged and nothing is left running.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from tunnel.version import VERSION

from ..observed.record import printable
from ..settings.cluster import ClusterSettings
from . import beats
from .beats import Beat
from .engine import INSTALL, ExtraMissingError, without_eof_warning
from .jetstream import WRONG_REVISION, JetStream
from .keys import announcements, is_node, new_node_id
from .peer.access_files import AccessFiles
from .peer.handshake import ANSWER_BEGINS, HandshakeError, HeadReader, read_answer, request
from .requests import ForbiddenError, Message, NoAnswerError, NobodyError, RefusedError, RequestError
from .values import ValueIgnoredError
from .watch import Delivery, Watch

if TYPE_CHECKING:
    from .connection import Connection

BUCKETS: Final = ("nodes", "links", "routes")
WATCH_SECONDS: Final = 5.0
"""Until a bucket was listed."""
BEATS_SECONDS: Final = 2.5
"""A node that runs beats in that time."""
DIAL_SECONDS: Final = 4.0
_NEVER: Final = 2**53
"""A revision that no bucket has: a write that expects it is refused, unless it is forbidden."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one try: a line. What is not ok says what to do."""

    level: Literal["ok", "warning", "error"]
    text: str


async def findings(settings: ClusterSettings) -> AsyncGenerator[Finding]:
    """All tries, one after the other. Raises ExtraMissingError."""
    logging.getLogger("asyncio").addFilter(without_eof_warning)
    forbidden: list[tuple[str, str]] = []
    connection: Connection | None = None
    try:
        for server in settings.servers:
            found, made = await _dial(settings, server, forbidden)
            yield found
            if made is not None and connection is not None:
                await made.end()
            elif made is not None:
                connection = made
        if connection is None:
            return
        told = ""
        with suppress(RequestError):  # what is forbidden is told while the buckets are tried
            await connection.subscribe(announcements(settings.bucket_prefix), _unread)
        for name in BUCKETS:
            found = await _bucket(JetStream(connection, f"{settings.bucket_prefix}_{name}"), settings.replicas)
            told += found.text.lower()
            yield found
        for verb, subject in forbidden:
            if subject.lower() not in told:
                text = f"NATS does not allow this user to {verb} {subject}; allow it in the user's permissions"
                yield Finding("error", text)
        async with aclosing(_nodes(settings, connection)) as nodes:
            async for found in nodes:
                yield found
    finally:
        if connection is not None:
            await connection.end()
        logging.getLogger("asyncio").removeFilter(without_eof_warning)


# --- NATS


async def _dial(
    settings: ClusterSettings, server: str, forbidden: list[tuple[str, str]]
) -> "tuple[Finding, Connection | None]":
    try:
        from .connection import DialError, dial  # noqa: PLC0415 - only a node with [cluster] needs nats-py
    except ImportError:
        raise ExtraMissingError(INSTALL) from None

    def told(verb: str, subject: str) -> None:
        forbidden.append(("subscribe" if verb == "subscription" else verb, subject))

    try:
        connection = await dial(settings, server, name="tunnel-gateway check", forbidden=told)
    except DialError as error:
        return Finding("error", f"NATS {server}: {error}; {_after_dial(str(error).lower())}"), None
    return Finding("ok", f"NATS {server}: connected, version {connection.version}"), connection


def _after_dial(error: str) -> str:
    """What to do about a server that was not reached for this reason."""
    if "authorization" in error or "authentication" in error:
        return "compare the user, and password_file, credentials_file or nkey_file, with the server's configuration"
    if "tls" in error or "certificate" in error or "ssl" in error:
        return "check ca_file and the name in the server's certificate, and that the server speaks TLS"
    if "_file" in error:
        return "put the file right"
    return "check that the server runs, and that this machine reaches it"


async def _bucket(stream: JetStream, replicas: int) -> Finding:
    name = f"bucket {stream.bucket}"
    try:
        info = await stream.bind(replicas)
        await _listed(stream, info.state.last_seq + 1)
        await _may_write(stream)
    except RequestError as error:
        return Finding("error", f"{name}: {error}; {_after_request(error)}")
    except TimeoutError:
        text = f"{name}: nothing came of a watch within {WATCH_SECONDS:g} s; check that JetStream has a leader"
        return Finding("error", text)
    kept = info.config.num_replicas
    if kept != replicas:
        text = (
            f"{name}: there, and kept {kept} times where replicas is {replicas}; change it with: "
            f"nats stream edit {stream.stream} --replicas {replicas}"
        )
        return Finding("warning", text)
    return Finding("ok", f"{name}: can be read and written; entries: {info.state.messages}, replicas: {kept}")


def _after_request(error: RequestError) -> str:
    if isinstance(error, NobodyError):
        return "switch JetStream on for this account"
    if isinstance(error, ForbiddenError):
        return "allow it in the user's permissions"
    if isinstance(error, NoAnswerError):
        return "check that JetStream has a leader, and the user's permissions"
    return "check the account's limits for JetStream: file storage, streams and consumers"


async def _listed(stream: JetStream, start: int) -> dict[str, bytes]:
    """All entries from a revision on, once they are here. Raises RequestError and TimeoutError."""
    entries, _ = await _watched(stream, start, 0.0)
    return entries


async def _watched(stream: JetStream, start: int, more_seconds: float) -> tuple[dict[str, bytes], set[str]]:
    """All entries from a revision on, and the keys that were written in so many seconds afterwards."""
    entries: dict[str, bytes] = {}
    written: set[str] = set()
    listed = asyncio.Event()

    def take(delivery: Delivery) -> None:
        if delivery.value is None:
            entries.pop(delivery.key, None)
        else:
            entries[delivery.key] = delivery.value
        if listed.is_set():
            written.add(delivery.key)

    watch = Watch(stream, start=start, take=take, caught_up=listed.set)
    running = asyncio.ensure_future(watch.run())
    waiting = asyncio.ensure_future(listed.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if listed.is_set() and not running.done() and more_seconds:
            await asyncio.wait({running}, timeout=more_seconds)
        if not listed.is_set() and not running.done():
            raise TimeoutError
        watch.break_off("it was a try")
        await running
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
    return entries, written


async def _unread(_: Message) -> None: ...


async def _may_write(stream: JetStream) -> None:
    """Ask for a write that changes nothing. Raises RequestError if others would fail, too."""
    try:
        await stream.write("check", b"", _NEVER)
    except RefusedError as error:
        if error.number != WRONG_REVISION:
            raise


# --- other nodes


async def _nodes(settings: ClusterSettings, connection: "Connection") -> AsyncGenerator[Finding]:
    """The nodes that are known, and whether those that beat can be reached."""
    try:
        stream = JetStream(connection, f"{settings.bucket_prefix}_{BUCKETS[0]}")
        entries, written = await _watched(stream, 1, BEATS_SECONDS)
    except (RequestError, TimeoutError):
        return  # the bucket's own line says it
    nodes = {node: beat for node, value in sorted(entries.items()) if (beat := _beat(node, value)) is not None}
    if not written & nodes.keys():
        yield Finding("ok", "nodes: none beats, so there is none to be dialled")
    try:
        files = AccessFiles(settings)
    except (OSError, ValueError) as error:
        yield Finding("error", f"peer links: {error}; put the file right")
        return
    for node, beat in nodes.items():
        name = f"node {node} ({printable(beat.name)})"
        if node not in written:
            yield Finding("warning", f"{name}: does not beat; it has stopped or stands still, or cannot reach NATS")
        else:
            yield await _peer(name, node, beat.peer_url, files)


def _beat(node: str, value: bytes) -> Beat | None:
    try:
        beat = beats.read(value)
    except ValueIgnoredError:
        return None
    return beat if is_node(node) and not beat.bye else None


async def _peer(name: str, node: str, address: str, files: AccessFiles) -> Finding:
    name = f"{name} at {printable(address)}"
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            build = await _greeted(node, address, files)
    except HandshakeError as error:
        hint = _AFTER_GREETING.get(error.status, "check peer_url of that node")
        return Finding("error", f"{name}: {printable(str(error))}; {hint}")
    except ssl.SSLError as error:
        return Finding("error", f"{name}: {error}; check peer_ca_file and the nodes' certificates")
    except TimeoutError:
        return Finding("error", f"{name}: no answer within {DIAL_SECONDS:g} s; check network policies and peer_url")
    except (OSError, ValueError) as error:
        return Finding("error", f"{name}: {error}; check peer_url and peer_bind of that node, and network policies")
    return Finding("ok", f"{name}: takes peer links, version {printable(build)}")


_AFTER_GREETING: Final[dict[int, str]] = {
    HTTPStatus.MISDIRECTED_REQUEST: "peer_url must lead to that node's own peer_bind, not to a Service or balancer",
    HTTPStatus.UNAUTHORIZED: "give all nodes the same peer_secret_file, or certificates of one peer_ca_file",
    HTTPStatus.SERVICE_UNAVAILABLE: "it is about to stop; try again",
}


async def _greeted(node: str, address: str, files: AccessFiles) -> str:
    """The build of the node that answers as this one. Raises HandshakeError, OSError and ValueError."""
    url = urlsplit(address)
    if url.scheme not in {"http", "https"} or not url.hostname or not url.port:
        raise ValueError("its address is no http(s)://HOST:PORT")
    context = (files.client or ssl.create_default_context()) if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        url.hostname, url.port, ssl=context, server_hostname=url.hostname if context is not None else None
    )
    try:
        writer.write(request(url.netloc, new_node_id(), VERSION, files.secret, to=node))
        head_reader = HeadReader(ANSWER_BEGINS)
        head = None
        while head is None:
            data = await reader.read(4_096)
            if not data:
                raise HandshakeError("the connection was closed without an answer")
            head = head_reader.feed(data)
        welcome = read_answer(head, head_reader.rest)
    finally:
        writer.transport.abort()
    if welcome.node != node:
        raise HandshakeError(f"another node answers there: {welcome.node}", HTTPStatus.MISDIRECTED_REQUEST)
    return welcome.build

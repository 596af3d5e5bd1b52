"""A program that is the owner of a cluster, and no more: a peer listener, and a link of its own to a service.

The link has no wire: its far end is in the same process, and plays the agent with its service. `python -m
tests.system.peer_node --node n2 --secret s` prints one line with the address once it listens. Paths of the service:
`/bytes/N` answers N bytes, `/upload` the size of the body, `/echo` switches protocols and sends all back.
"""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

import uvloop

from app.cluster.peer import tls
from app.cluster.peer.handshake import Access
from app.cluster.peer.listener import PeerListener
from app.cluster.peer.preamble import Preamble
from app.cluster.peer.serving import Serving
from app.cluster.peer.session import PeerSession, PeerUser
from app.cluster.peer.splice import Raw
from tests.app.cluster.peer.hop import joined
from tunnel.account import Account
from tunnel.errors import NotHereError, TunnelError
from tunnel.gateway.yamux import YamuxStream
from tunnel.streams import StreamOwner
from tunnel.wire.routing_header import Decoder
from tunnel.yamux import Role

PIECE = bytes(range(256)) * 128


class Connection(StreamOwner):
    """One connection to the service."""

    def __init__(self, stream: YamuxStream) -> None:
        self.stream = stream
        self.header: Decoder | None = Decoder()
        self.buffer = b""
        self.left = 0  # to be sent
        self.body = 0  # to come
        self.size = 0
        self.echoes = False
        self.full = False
        stream.owner = self

    def data_received(self, data: bytes, /) -> None:
        size = len(data)
        if self.header is not None:
            if self.header.feed(data) is None:
                self.stream.acknowledge(size)
                return
            data, self.header = self.header.rest, None
        if self.echoes:
            self.full = not self.stream.write(data)
        elif data:
            self.buffer += data
            self.read()
        self.stream.acknowledge(size)

    def read(self) -> None:
        while self.buffer:
            if self.body:
                taken = min(self.body, len(self.buffer))
                self.body -= taken
                self.buffer = self.buffer[taken:]
                if not self.body:
                    self.answer(str(self.size).encode())
                continue
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.buffer = rest
            self.called(head)

    def called(self, head: bytes) -> None:
        path = head.split(b" ")[1]
        if path == b"/echo":
            self.echoes = True
            self.stream.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        elif path.startswith(b"/bytes/"):
            self.left = int(path[7:])
            self.stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.left)
            self.stream_writable()
        elif path == b"/upload":
            self.size = self.body = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        elif path != b"/never":
            self.answer(b"hello from c1")

    def answer(self, body: bytes) -> None:
        self.stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def end_received(self) -> None:
        self.stream.write_end()

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None:
        while self.left:
            piece = PIECE[: self.left]
            self.left -= len(piece)
            if not self.stream.write(piece):
                return


class Agent(PeerUser):
    """The far end of the link."""

    def stream_opened(self, stream: YamuxStream, /) -> None:
        Connection(stream)

    def ticked(self, now: float, /) -> None: ...

    def stopping(self) -> None: ...

    def closed(self, reason: str, /) -> None: ...


class Link:
    """The near end: a `StreamCarrier`."""

    def __init__(self, session: PeerSession) -> None:
        self.active = 0
        self.open_stream = session.open_stream


def own_link() -> Link:
    """A link to an agent in this process."""
    loop = asyncio.get_running_loop()
    near, far = joined()
    sessions = [PeerSession(role, "agent", account=Account(), loop=loop) for role in (Role.SERVER, Role.CLIENT)]
    for session, transport in zip(sessions, (near, far), strict=True):
        session.start(transport, Agent())
    return Link(sessions[0])


def serving(link: Link) -> Serving:
    """Of cluster c1."""

    def find(wanted: Preamble) -> Raw:
        if wanted.cluster != "c1":
            raise NotHereError("not here")
        return Raw(link, "a1")

    return Serving(find)


async def serve(options: argparse.Namespace) -> None:
    context = None
    if options.certificate:
        context = tls.server_context(options.certificate, options.key, ca_file=options.ca)
    listener = PeerListener(
        serving(own_link()), node=options.node, build="test", host="127.0.0.1", port=options.port,
        access=Access(tuple(secret.encode() for secret in options.secret), certificates=options.ca is not None),
        account=Account(), tls=context,
    )  # fmt: skip
    await listener.open()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"listening on {listener.address[1]}", flush=True)
    await stop.wait()
    await listener.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", default="n2")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--loop", default="uvloop")
    for name in ("--certificate", "--key", "--ca"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    make: Any = uvloop.new_event_loop if options.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()

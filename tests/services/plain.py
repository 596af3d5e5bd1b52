"""An HTTP/1.1 service that answers in every way, well or badly: `python -m tests.services.plain`.

Prints one line `ready PORT`. What a request wants is in its path and query; what the service saw is asked
with `/stats`, `/progress` and `/left`, and some answers wait for a control request (`/sse/push`): nothing
here sleeps. A path below `/echo` answers the request line and headers exactly as they came.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import ssl
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable

from tests.services.exchange import Exchange, read_exchange
from tests.services.pattern import BLOCK_BYTES, blocks

Handler = Callable[["Plain", Exchange], Awaitable[None]]

HANDLERS: dict[str, Handler] = {}
SSE_HEAD = [
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache"),
    ("Transfer-Encoding", "chunked"),
]


def at(path: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS[path] = handler
        return handler

    return register


class BreakError(Exception):
    """The handler wants the connection closed now, whatever was promised on it."""


class Plain:
    """The service's memory: what it saw, and who waits for what."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connections = 0
        self.open = 0
        self.requests = 0
        self.progress: dict[str, int] = defaultdict(int)
        self.left: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.arrived: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.end_of_time = asyncio.Event()
        """Never set; held here, because a task that waits for what nobody holds is collected."""
        self.channels: dict[str, asyncio.Queue[str | None]] = defaultdict(asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while (exchange := await read_exchange(reader, writer, number)) is not None:
                self.requests += 1
                handler = HANDLERS["/echo"] if exchange.path.startswith("/echo") else HANDLERS.get(exchange.path)
                if handler is None:
                    await exchange.answer(404, b"no such path here", [("X-Service", self.name)])
                else:
                    await handler(self, exchange)
                if not exchange.body_read:
                    await exchange.discard()
        except (BreakError, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except ValueError as error:
            print(f"refused: {error}", file=sys.stderr, flush=True)
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await writer.wait_closed()


@at("/echo")
async def echo(plain: Plain, exchange: Exchange) -> None:
    sha256, length = hashlib.sha256(), 0
    async for piece in exchange.body():
        sha256.update(piece)
        length += len(piece)
    await exchange.answer_json(
        {
            "service": plain.name,
            "line": exchange.line,
            "headers": exchange.headers,
            "trailers": exchange.trailers,
            "connection": exchange.connection,
            "length": length,
            "sha256": sha256.hexdigest(),
        }
    )


@at("/mirror")
async def mirror(plain: Plain, exchange: Exchange) -> None:
    """Answers with the body that came."""
    body = b"".join([piece async for piece in exchange.body()])
    await exchange.answer(200, body)


@at("/small")
async def small(plain: Plain, exchange: Exchange) -> None:
    fields = [("X-Service", plain.name), ("X-Connection", str(exchange.connection))]
    await exchange.answer(200, f"small {exchange.query.get('n', '')}".encode(), fields)


@at("/status")
async def status(plain: Plain, exchange: Exchange) -> None:
    code = int(exchange.query["code"])
    if code in (204, 304):
        exchange.head(code, [("ETag", '"x"')])
        await exchange.writer.drain()
    else:
        await exchange.answer(code, f"status {code}".encode())


@at("/stats")
async def stats(plain: Plain, exchange: Exchange) -> None:
    await exchange.answer_json({"connections": plain.connections, "open": plain.open, "requests": plain.requests})


@at("/progress")
async def progress(plain: Plain, exchange: Exchange) -> None:
    await exchange.answer_json({"bytes": plain.progress[exchange.query["id"]]})


@at("/left")
async def left(plain: Plain, exchange: Exchange) -> None:
    """Answers when the client of the exchange with this id has left."""
    await plain.left[exchange.query["id"]].wait()
    await exchange.answer(200, b"left")


@at("/arrived")
async def arrived(plain: Plain, exchange: Exchange) -> None:
    """Answers when the exchange with this id has arrived."""
    await plain.arrived[exchange.query["id"]].wait()
    await exchange.answer(200, b"arrived")


@at("/release")
async def release(plain: Plain, exchange: Exchange) -> None:
    """Lets the exchange with this id go on."""
    plain.released[exchange.query["id"]].set()
    await exchange.answer(202)


@at("/sse")
async def sse(plain: Plain, exchange: Exchange) -> None:
    channel = exchange.query["channel"]
    exchange.head(200, [*SSE_HEAD, ("X-Service", plain.name)])
    await exchange.writer.drain()
    plain.arrived[channel].set()
    number = 0
    while (data := await plain.channels[channel].get()) is not None:
        number += 1
        await exchange.chunk(f"id: {number}\ndata: {data}\n\n".encode())
    await exchange.last_chunk()


@at("/sse/push")
async def sse_push(plain: Plain, exchange: Exchange) -> None:
    """One event for the channel; without `data`: its end."""
    plain.channels[exchange.query["channel"]].put_nowait(exchange.query.get("data"))
    await exchange.answer(202)


@at("/download")
async def download(plain: Plain, exchange: Exchange) -> None:
    """`size` bytes of the pattern, with a length, or `how=chunked`, or `how=close`."""
    size, how, key = int(exchange.query["size"]), exchange.query.get("how"), exchange.query.get("id", "")
    if how == "close":
        exchange.head(200, (), version="HTTP/1.0")
    else:
        exchange.head(200, [("Transfer-Encoding", "chunked") if how == "chunked" else ("Content-Length", str(size))])
    if exchange.method == "HEAD":
        return
    try:
        for block in blocks(size, int(exchange.query.get("seed", "1"))):
            if how == "chunked":
                await exchange.chunk(block)
            else:
                exchange.writer.write(block)
                await exchange.writer.drain()
            plain.progress[key] += len(block)
    except ConnectionError:
        plain.left[key].set()
        raise
    if how == "chunked":
        await exchange.last_chunk()
    if how == "close":
        raise BreakError


@at("/upload")
async def upload(plain: Plain, exchange: Exchange) -> None:
    sha256, length = hashlib.sha256(), 0
    async for piece in exchange.body():
        sha256.update(piece)
        length += len(piece)
    await exchange.answer_json({"sha256": sha256.hexdigest(), "length": length, "trailers": exchange.trailers})


@at("/cookies")
async def cookies(plain: Plain, exchange: Exchange) -> None:
    fields = [("Set-Cookie", value) for value in ("a=1; Path=/", "b=2; HttpOnly", "c=3; Secure; SameSite=None")]
    await exchange.answer(200, b"three", fields)


@at("/early-413")
async def early_413(plain: Plain, exchange: Exchange) -> None:
    """Refuses the upload from its head; `then=drain` reads the rest, `then=close` closes at once."""
    exchange.head(413, [("Content-Length", "9"), ("Connection", "close"), ("X-Why", "size")])
    exchange.writer.write(b"too large")
    await exchange.writer.drain()
    if exchange.query["then"] == "drain":
        exchange.headers = [item for item in exchange.headers if item[0].lower() != "expect"]
        await exchange.discard()
    raise BreakError


@at("/black-hole")
async def black_hole(plain: Plain, exchange: Exchange) -> None:
    """Never reads the body, never answers."""
    plain.arrived[exchange.query["id"]].set()
    await plain.end_of_time.wait()


@at("/never")
async def never(plain: Plain, exchange: Exchange) -> None:
    """Never answers; notes when the client left. `after=head`: the head, and then nothing."""
    key = exchange.query["id"]
    if exchange.query.get("after") == "head":
        exchange.head(200, [("Content-Length", "10")])
        await exchange.writer.drain()
    plain.arrived[key].set()
    await exchange.client_left()
    plain.left[key].set()
    raise BreakError


@at("/break-off")
async def break_off(plain: Plain, exchange: Exchange) -> None:
    """An answer that ends before it is complete: at once, or with an `id` when it is released."""
    how = exchange.query["how"]
    if how == "length":
        exchange.head(200, [("Content-Length", "1000")])
        exchange.writer.write(b"x" * 100)
    elif how == "chunked":
        exchange.head(200, [("Transfer-Encoding", "chunked")])
        exchange.writer.write(b"64\r\n" + b"x" * 100 + b"\r\n")
    elif how == "head":
        exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await exchange.writer.drain()
    if "id" in exchange.query:
        await plain.released[exchange.query["id"]].wait()
    raise BreakError


@at("/close")
async def close(plain: Plain, exchange: Exchange) -> None:
    """Closes without answering."""
    raise BreakError


@at("/garbage")
async def garbage(plain: Plain, exchange: Exchange) -> None:
    exchange.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await exchange.writer.drain()
    raise BreakError


@at("/trailers")
async def trailers(plain: Plain, exchange: Exchange) -> None:
    exchange.head(200, [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
    await exchange.chunk(b"body")
    await exchange.last_chunk([("X-Sum", "42")])


@at("/answer")
async def answer(plain: Plain, exchange: Exchange) -> None:
    """An empty answer with the status and the fields of the body, which is `[status, [[name, value], ...]]`."""
    body = b"".join([piece async for piece in exchange.body()])
    code, fields = json.loads(body)
    await exchange.answer(code, b"", [(name, value) for name, value in fields])


@at("/early-hints")
async def early_hints(plain: Plain, exchange: Exchange) -> None:
    exchange.head(103, [("Link", "</style.css>; rel=preload")])
    await exchange.answer(200, b"hinted")


@at("/hop-by-hop")
async def hop_by_hop(plain: Plain, exchange: Exchange) -> None:
    fields = [
        ("Connection", "keep-alive, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("X-Hop", "1"),
        ("X-End", "2"),
    ]
    await exchange.answer(200, b"hops", [*fields, ("Server", "plain/1"), ("Date", "Thu, 01 Jan 1970 00:00:01 GMT")])


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="plain")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", help="PEM file with key and certificate chain")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
    plain = Plain(options.name)
    server = await asyncio.start_server(
        plain.serve, "127.0.0.1", options.port, limit=BLOCK_BYTES, ssl=context, backlog=1024
    )
    print(f"ready {server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

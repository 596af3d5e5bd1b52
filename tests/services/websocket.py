"""A WebSocket service that does on command what services do: `python -m tests.services.websocket`.

Prints one line `ready PORT`. The path says how the handshake goes (`/echo`, `/refuse`, `/no-subprotocol`);
the text messages of `/command` are JSON orders (close, ping, fragments). `GET /closed?id=X` answers, when
the WebSocket that came with `?id=X` is closed, with the code and reason that the service received. Nothing
here sleeps.
"""

import argparse
import asyncio
import contextlib
import http
import json
import ssl
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

FAR_TOO_MANY = 10_000


class Closings:
    """How each WebSocket ended, for those who ask, before or after."""

    def __init__(self) -> None:
        self._endings: dict[str, asyncio.Future[tuple[int | None, str | None]]] = defaultdict(
            asyncio.get_running_loop().create_future
        )

    def note(self, key: str, code: int | None, reason: str | None) -> None:
        if key and not self._endings[key].done():
            self._endings[key].set_result((code, reason))

    async def wait(self, key: str) -> tuple[int | None, str | None]:
        return await asyncio.shield(self._endings[key])


def query_of(path: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(path).query).items()}


def choose_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The last one offered, so that a proxy that picks the first is found out; none on /no-subprotocol."""
    assert connection.request is not None
    if connection.request.path.startswith("/no-subprotocol") or not offered:
        return None
    return offered[-1]


def reply(status: int, body: bytes, **headers: str) -> Response:
    fields = Headers({"Content-Length": str(len(body)), "Connection": "close", **headers})
    return Response(status, http.HTTPStatus(status).phrase, fields, body)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def headers(connection: ServerConnection) -> None:
    """The handshake as it arrived, then an echo."""
    assert connection.request is not None
    await connection.send(
        json.dumps({"path": connection.request.path, "headers": list(connection.request.headers.raw_items())})
    )
    await echo(connection)


async def fragments(connection: ServerConnection, pieces: list[str]) -> bytes:
    """Send one message in fragments with a ping in its middle; the payload of the pong that came."""
    pongs: list[asyncio.Future[float]] = []

    async def parts() -> AsyncIterator[str]:
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2:
                pongs.append(asyncio.ensure_future(await connection.ping(b"middle")))
            yield piece

    await connection.send(parts())
    await pongs[0]
    return b"middle"


async def command(connection: ServerConnection) -> None:
    async for message in connection:
        order = json.loads(message)
        match order["do"]:
            case "close":
                await connection.close(order.get("code", 1000), order.get("reason", ""))
            case "abort":
                connection.transport.abort()
            case "ping":
                pong = await connection.ping(order["data"])
                await pong
                await connection.send(json.dumps({"pong": order["data"]}))
            case "fragments":
                await fragments(connection, order["pieces"])
                await connection.send(json.dumps({"pong": "middle"}))
            case "send":
                await connection.send(bytes(order["size"]) if order.get("binary") else "x" * order["size"])
            case "flood":
                for number in range(order.get("count", FAR_TOO_MANY)):
                    await connection.send(f"{number}:{'f' * order['size']}")


async def silent(connection: ServerConnection) -> None:
    """Reads nothing, until the connection is gone."""
    await connection.wait_closed()


PATHS = {
    "/echo": echo,
    "/no-subprotocol": echo,
    "/command": command,
    "/headers": headers,
    "/silent": silent,
}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", help="PEM file with key and certificate chain")
    options = parser.parse_args()
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
    closings = Closings()

    async def before(connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == "/closed":
            code, reason = await closings.wait(query_of(request.path)["id"])
            return reply(200, json.dumps({"code": code, "reason": reason}).encode())
        if path == "/refuse":
            return reply(403, b"not for you", **{"X-Why": "because", "Content-Type": "text/plain"})
        return None if path in PATHS else reply(404, b"no such path here")

    async def serve_one(connection: ServerConnection) -> None:
        assert connection.request is not None
        try:
            await PATHS[urlsplit(connection.request.path).path](connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            received = connection.protocol.close_rcvd
            closings.note(
                query_of(connection.request.path).get("id", ""),
                received.code if received else None,
                received.reason if received else None,
            )

    async with serve(
        serve_one,
        "127.0.0.1",
        options.port,
        ssl=context,
        process_request=before,
        select_subprotocol=choose_subprotocol,
        max_size=None,
        open_timeout=None,
        ping_interval=None,
        backlog=1024,
    ) as server:
        print(f"ready {next(iter(server.sockets)).getsockname()[1]}", file=sys.stderr, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

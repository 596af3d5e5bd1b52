"""A Socket.IO application in Python, unmodified, under uvicorn: `python -m tests.services.socketio_app`.

Prints one line `ready PORT`. Events: `echo` answers its arguments in the acknowledgement, `burst` emits numbered
`number` events, `shout` reaches every other client of the room, `who` tells the transport in use. (Not under aiohttp:
there python-engineio takes what came first of a polled body for all of it.)
"""

import argparse
import socket
import sys
from typing import Any

import socketio
import uvicorn
from engineio.payload import Payload

PACKETS_AT_ONCE = 1000
"""What one polling request may carry; engineio's 16 breaks off bursts, and this is its documented way out."""
MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024


def build() -> socketio.ASGIApp:
    Payload.max_decode_packets = PACKETS_AT_ONCE
    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", max_http_buffer_size=MESSAGE_LIMIT_BYTES)

    async def connect(sid: str, environ: dict[str, Any]) -> None:
        await server.enter_room(sid, "all")

    async def echo(sid: str, *arguments: Any) -> list[Any]:
        return list(arguments)

    async def burst(sid: str, count: int) -> int:
        for number in range(count):
            await server.emit("number", number, to=sid)
        return count

    async def shout(sid: str, data: Any) -> None:
        await server.emit("shouted", data, room="all", skip_sid=sid)

    async def who(sid: str) -> str:
        return str(server.transport(sid))

    for handler in (connect, echo, burst, shout, who):
        server.on(handler.__name__, handler)
    return socketio.ASGIApp(server)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"ready {listener.getsockname()[1]}", file=sys.stderr, flush=True)
    # It listens already: who connects from now on is served.
    config = uvicorn.Config(build(), log_level="warning", ws_max_size=MESSAGE_LIMIT_BYTES, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

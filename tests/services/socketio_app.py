"""A Socket.IO application in Python, unmodified: `python -m tests.services.socketio_app`.

Prints one line `ready PORT`. Events: `echo` answers its arguments in the acknowledgement, `burst` emits
numbered `number` events, `shout` reaches every other client of the room, `who` tells the transport in use.
"""

import argparse
import asyncio
import sys
from typing import Any

import socketio
from aiohttp import web

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024


def build() -> web.Application:
    server = socketio.AsyncServer(
        async_mode="aiohttp", cors_allowed_origins="*", max_http_buffer_size=MESSAGE_LIMIT_BYTES
    )
    application = web.Application(client_max_size=MESSAGE_LIMIT_BYTES)
    server.attach(application)

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
    return application


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    runner = web.AppRunner(build(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.port)
    await site.start()
    print(f"ready {runner.addresses[0][1]}", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)

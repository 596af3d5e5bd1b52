"""A chat on Socket.IO (python-socketio, unmodified): one of the demonstration's services.

It knows nothing about the tunnel. The page implements Socket.IO 5 over a WebSocket in a few lines, so that it loads no
script from elsewhere. Any Socket.IO client can join, over a WebSocket or by polling.

`python -m ...chat DESCRIPTOR` serves it on a listening socket that the process inherited.
"""

import asyncio
import sys
import time
from pathlib import Path

import socketio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from .serving import serve

PAGE = Path(__file__).with_name("chat.html").read_text(encoding="utf-8")


class Chat:
    """The application and its state: who is connected."""

    def __init__(self) -> None:
        self.server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
        self.people: set[str] = set()
        self.server.on("connect", self.connect)
        self.server.on("disconnect", self.disconnect)
        self.server.on("say", self.say)

    async def connect(self, sid: str, _environ: dict[str, object]) -> None:
        """Somebody has joined."""
        self.people.add(sid)
        await self.server.emit("said", f"{sid[:4]} is here")

    async def disconnect(self, sid: str, *_reason: object) -> None:
        """Somebody has left."""
        self.people.discard(sid)
        await self.server.emit("said", f"{sid[:4]} left")

    async def say(self, sid: str, text: object) -> str:
        """Send the text to everybody, and an acknowledgement to the sender."""
        await self.server.emit("said", f"{sid[:4]}: {str(text)[:500]}")
        return "heard"

    async def clock(self) -> None:
        """Send the time to everybody, once a second."""
        while True:
            await self.server.emit("clock", {"time": time.strftime("%H:%M:%S"), "people": len(self.people)})
            await asyncio.sleep(1)


async def _page(_: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def _run(descriptor: int) -> None:
    chat = Chat()
    pages = Starlette(routes=[Route("/", _page)])
    clock = asyncio.create_task(chat.clock())
    try:
        await serve(socketio.ASGIApp(chat.server, other_asgi_app=pages), descriptor)
    finally:
        clock.cancel()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))

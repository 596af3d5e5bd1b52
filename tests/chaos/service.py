"""A service that says which cluster it is in and writes down who reached it: `python -m tests.chaos.service`.

Listens on `--port`, also after it was killed, and prints `ready PORT`. Each request and each WebSocket has an `id` in
its query, which is in the journal before anything else happens; the journal is a file, so it outlives the process.
Paths: `/get`, `/post` (answers what came, hashed, after `seconds`), `/download`, `/events` (SSE), `/echo` (WebSocket).
Of `/who` only the cluster is asked: it is not in the journal.
"""

import argparse
import asyncio
import hashlib
import os
import sys
from pathlib import Path

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

from tests.services.pattern import blocks

EVENT_SECONDS = 0.2
"""The pace of a service that has something to say now and then."""


@web.middleware
async def bears_its_clients(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A client that leaves, at whatever moment, is no fault of the service."""
    try:
        return await handler(request)
    except ConnectionError:
        return web.Response(status=499)  # nobody gets it


class Service:
    def __init__(self, cluster: str, journal: Path) -> None:
        self._fields = {"X-Cluster": cluster}
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 24, middlewares=[bears_its_clients])
        application.router.add_get("/who", self.who)
        application.router.add_get("/get", self.get)
        application.router.add_post("/post", self.post)
        application.router.add_get("/download", self.download)
        application.router.add_get("/events", self.events)
        application.router.add_get("/echo", self.echo)
        return application

    def _note(self, request: web.Request) -> str:
        key = request.query["id"]
        os.write(self._journal, f"{key}\n".encode())  # one write: whole, or not there
        return key

    async def who(self, _: web.Request) -> web.Response:
        return web.Response(headers=self._fields)

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response({"id": self._note(request)}, headers=self._fields)

    async def post(self, request: web.Request) -> web.Response:
        key = self._note(request)
        sha256 = hashlib.sha256()
        async for piece in request.content.iter_any():
            sha256.update(piece)
        await asyncio.sleep(float(request.query.get("seconds", "0")))  # the pace of the service
        return web.json_response({"id": key, "sha256": sha256.hexdigest()}, headers=self._fields)

    async def download(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        size = int(request.query["size"])
        answer = web.StreamResponse(headers={**self._fields, "Content-Length": str(size)})
        await answer.prepare(request)
        for block in blocks(size):
            await answer.write(block)
        return answer

    async def events(self, request: web.Request) -> web.StreamResponse:
        key = self._note(request)
        answer = web.StreamResponse(headers={**self._fields, "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(int(request.query["count"])):
            await answer.write(f"data: {key} {number}\n\n".encode())
            await asyncio.sleep(EVENT_SECONDS)  # the pace of the service
        return answer

    async def echo(self, request: web.Request) -> web.WebSocketResponse:
        self._note(request)
        answer = web.WebSocketResponse(compress=False)
        answer.headers.update(self._fields)
        await answer.prepare(request)
        async for message in answer:
            if message.type is WSMsgType.TEXT:
                await answer.send_str(message.data)
        return answer


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    runner = web.AppRunner(Service(options.cluster, options.journal).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    print(f"ready {options.port}", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

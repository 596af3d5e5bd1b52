"""The index of the demonstration: one page that lists what runs now, and changes as it does.

The states come from the demonstration on standard input, one JSON document per line; the newest counts. The end of the
input is the end of the process. `/` is the page, which needs no script; `/events` sends its table again after each
change; `/demo.json` is the same for programs.

`python -m ...index DESCRIPTOR` serves it on a listening socket that the process inherited.
"""

import asyncio
import html
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from .board import Entry, Snapshot
from .serving import serve

BEAT_SECONDS = 10.0
"""Between two signs of life of /events while nothing changes."""
_LINE_BYTES = 1024 * 1024
_PAGE = Path(__file__).with_name("index.html").read_text(encoding="utf-8")
_FRESH = {"Cache-Control": "no-store"}


class Index:
    """What is known, and who watches it."""

    def __init__(self) -> None:
        self.snapshot = Snapshot("", "", [])
        self.app = Starlette(
            routes=[
                Route("/", self.page),
                Route("/demo.json", self.document),
                Route("/events", self.events),
            ]
        )
        self._changed = asyncio.Event()

    def show(self, snapshot: Snapshot) -> None:
        """Show this from now on."""
        self.snapshot = snapshot
        self._changed.set()
        self._changed = asyncio.Event()

    async def page(self, _: Request) -> Response:
        """The whole page, as of now."""
        page = _PAGE.replace("{{states}}", table(self.snapshot)).replace("{{time}}", time.strftime("%H:%M:%S"))
        page = page.replace("{{hint}}", html.escape(self.snapshot.hint))
        page = page.replace("{{command}}", html.escape(self.snapshot.command))
        return HTMLResponse(page, headers=_FRESH)

    async def document(self, _: Request) -> Response:
        """The states, for programs."""
        return Response(msgspec.json.encode(self.snapshot), media_type="application/json", headers=_FRESH)

    async def events(self, _: Request) -> Response:
        """The table after each change."""
        return StreamingResponse(self.tables(), media_type="text/event-stream", headers=_FRESH)

    async def tables(self) -> AsyncIterator[bytes]:
        """Events: the table now, and after each change; comments in between."""
        while True:
            changed = self._changed
            yield b"data: " + msgspec.json.encode(table(self.snapshot)) + b"\n\n"
            while not changed.is_set():
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield b": nothing new\n\n"


def table(snapshot: Snapshot) -> str:
    """The states as HTML."""
    pages = [entry for entry in snapshot.entries if entry.url]
    programs = [entry for entry in snapshot.entries if not entry.url]
    return _rows("Page", pages) + _rows("Program", programs)


def _rows(heading: str, entries: list[Entry]) -> str:
    rows = "".join(_row(entry) for entry in entries)
    return f"<table><tr><th>{heading}<th>State<th>Since<th></tr>{rows}</table>"


def _row(entry: Entry) -> str:
    """Only a page that was answered is a link."""
    title, words = html.escape(entry.title), html.escape(entry.words)
    if entry.state == "ready":
        title = f'<a href="{html.escape(entry.url)}">{title}</a>'
    since = time.strftime("%H:%M:%S", time.localtime(entry.since))
    return f'<tr><td>{title}<td class="{entry.state}">{entry.state}<td>{since}<td>{words}</tr>'


async def _read(index: Index) -> None:
    """Take in what the demonstration says; end this process with it."""
    reader = asyncio.StreamReader(_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        index.show(msgspec.json.decode(line, type=Snapshot))
    os.kill(os.getpid(), signal.SIGTERM)


async def _run(descriptor: int) -> None:
    index = Index()
    reading = asyncio.create_task(_read(index))
    try:
        await serve(index.app, descriptor)
    finally:
        reading.cancel()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1])))

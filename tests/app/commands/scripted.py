"""A server that answers what a test wrote down for it, in this order, and notes what it was asked."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `body`: JSON, or what is sent as it is; in pieces without a length where `streams`."""

    body: Any = None
    status: int = 200
    streams: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    line: str
    """Method and target."""
    fields: dict[str, str]


@dataclass
class Script:
    """The answers of each path, the last of them for ever; 404 for other paths."""

    answers: dict[str, list[Said]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def say(self, path: str, *answers: Said) -> None:
        self.answers[path] = list(answers)

    def lines(self) -> list[str]:
        return [one.line for one in self.asked]

    def next(self, path: str) -> Said:
        found = self.answers.get(path)
        if not found:
            return Said({"message": "There is nothing here"}, 404)
        return found.pop(0) if len(found) > 1 else found[0]


class _Door(http.server.BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        script = self.server.script
        script.asked.append(
            Asked(f"{self.command} {self.path}", {key.lower(): value for key, value in self.headers.items()})
        )
        said = script.next(self.path.partition("?")[0])
        self.send_response(said.status)
        self.send_header("Content-Type", "text/event-stream" if said.streams else "application/json")
        if not said.streams:
            self.send_header("Content-Length", str(len(said.content)))
        self.end_headers()
        self.wfile.write(said.content)

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002  (the base class's name)
        pass


class _Server(http.server.ThreadingHTTPServer):
    script: Script


@contextmanager
def serving() -> Iterator[Script]:
    """A script, and a server that plays it at `url`."""
    server = _Server(("127.0.0.1", 0), _Door)
    server.script = Script(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

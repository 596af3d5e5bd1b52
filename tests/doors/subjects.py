"""Parsers without I/O, each as a function from pieces of bytes to what it read of them.

The corpus and the mutations take any such function: our own reader of heads and bodies is one like the others. A
subject never raises; what its parser refuses is the `Ending` of the reading.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

import h11
import httptools

Pairs = list[tuple[bytes, bytes]]


class Ending(Enum):
    """Where a parser stands behind the last piece."""

    WAITS = auto()
    """It would take more: the rest of a request, or another one."""
    REFUSED = auto()
    """What came is not HTTP, or not wanted."""
    CLOSED = auto()
    """It reads no further, since the connection ends with the last request."""
    UPGRADED = auto()
    """It stopped behind a request that offers another protocol."""


@dataclass
class Read:
    """One request, as far as it was read."""

    method: bytes = b""
    target: bytes = b""
    fields: Pairs = field(default_factory=list)
    """Names in lower case."""
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    has_head: bool = False
    is_whole: bool = False


@dataclass
class Reading:
    """All that one subject read of one connection."""

    requests: list[Read]
    """The last one may be unfinished."""
    ending: Ending
    why: str = ""

    @property
    def settled(self) -> tuple[list[Read], Ending]:
        """What must not depend on how the bytes were cut."""
        return [item for item in self.requests if item.is_whole], self.ending


Subject = Callable[[Iterable[bytes]], Reading]


class _HttpTools:
    """The callbacks of one httptools parser."""

    def __init__(self) -> None:
        self.requests: list[Read] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.requests.append(Read())

    def on_url(self, url: bytes) -> None:
        self.requests[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self.requests[-1]
        (request.trailers if request.has_head else request.fields).append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.requests[-1].has_head = True
        self.requests[-1].method = self.parser.get_method()

    def on_body(self, body: bytes) -> None:
        self.requests[-1].body += body

    def on_message_complete(self) -> None:
        self.requests[-1].is_whole = True


def read_with_httptools(pieces: Iterable[bytes]) -> Reading:
    """httptools, which is llhttp, as uvicorn sets it up."""
    heard = _HttpTools()
    heard.parser.set_dangerous_leniencies(lenient_data_after_close=True)
    try:
        for piece in pieces:
            heard.parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        return Reading(heard.requests, Ending.UPGRADED)
    except httptools.HttpParserError as error:
        return Reading(heard.requests, Ending.REFUSED, str(error))
    return Reading(heard.requests, Ending.WAITS)


_H11_LIMIT = 128 * 1024


def read_with_h11(pieces: Iterable[bytes]) -> Reading:
    """h11, which is given an answer to each request, so that it goes on with the next."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_H11_LIMIT)
    requests: list[Read] = []
    try:
        for piece in pieces:
            if piece:  # an empty one would be the end of the connection
                connection.receive_data(piece)
            while _next_of_h11(connection, requests):
                pass
            if connection.our_state is h11.MUST_CLOSE:
                return Reading(requests, Ending.CLOSED)
    except h11.RemoteProtocolError as error:
        return Reading(requests, Ending.REFUSED, str(error))
    return Reading(requests, Ending.WAITS)


def _next_of_h11(connection: h11.Connection, requests: list[Read]) -> bool:
    """Take one event. False: there is none."""
    match event := connection.next_event():
        case h11.Request():
            requests.append(Read(event.method, event.target, list(event.headers), has_head=True))
        case h11.Data():
            requests[-1].body += event.data
        case h11.EndOfMessage():
            requests[-1].is_whole = True
            requests[-1].trailers = list(event.headers)
            connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                return False
            connection.start_next_cycle()
        case _:
            return False
    return True

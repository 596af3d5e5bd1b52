"""One HTTP/1.1 exchange with a service or with the Kubernetes API, as Go's client performs it.

Header order, the framing of bodies, the unasked `Accept-Encoding: gzip` and the decompression that follows are Go's
(section 5.2). Redirects are never followed. A new connection for every exchange.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import h11

from tests.existing.golang import canonical
from tests.existing.network import DialError, connect
from tests.existing.options import Address
from tests.existing.order import HOP_BY_HOP
from tests.existing.pipe import CancelledUploadError, Pipe
from tests.existing.wire import Answer, Header

CHUNK_BYTES = 32 * 1024
HEADER_BYTES = 1024 * 1024


class ExchangeError(Exception):
    """The exchange is over; the text is Go's reason."""


@dataclass(frozen=True)
class Request:
    """What goes out; `host` and `headers` as they shall appear, hop-by-hop headers already gone."""

    method: str
    target: str
    host: str
    headers: list[Header]
    body: bytes | Pipe | None


class Exchange:
    """A request on its own connection: `head` once, then `chunks` to their end; `close` in any case."""

    def __init__(self, request: Request, address: Address, *, tls: bool, send_buffer: int) -> None:
        self._request = request
        self._address = address
        self._tls = tls
        self._send_buffer = send_buffer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)
        self._writer: asyncio.StreamWriter | None = None
        self._writing: asyncio.Task[None] | None = None
        self._asked_gzip = False
        self._gunzip = False
        self.head_received = False

    @property
    def upload(self) -> Pipe | None:
        """The pipe that the body comes from."""
        return self._request.body if isinstance(self._request.body, Pipe) else None

    def _head(self) -> h11.Request:
        request = self._request
        given = {name.lower() for name, _ in request.headers}
        sent = [("Host", request.host)]
        sent += [line for line in request.headers if line[0] == "User-Agent"][:1] or [
            ("User-Agent", "Go-http-client/1.1")
        ]
        may_measure = request.method in {"POST", "PUT", "PATCH"}
        if request.body is None:
            sent += [("Content-Length", "0")] if may_measure else []
        elif isinstance(request.body, bytes) and may_measure and "content-length" not in given:
            sent.append(("Content-Length", str(len(request.body))))
        else:
            sent.append(("Transfer-Encoding", "chunked"))
        own = {"user-agent", "content-length", "transfer-encoding", "host"}
        sent += sorted((line for line in request.headers if line[0].lower() not in own), key=lambda line: line[0])
        self._asked_gzip = not {"accept-encoding", "range"} & given and request.method != "HEAD"
        if self._asked_gzip:
            sent.append(("Accept-Encoding", "gzip"))
        lines = [(name.encode("latin-1"), value.encode()) for name, value in sent]
        return h11.Request(method=request.method, target=request.target or "/", headers=lines)

    async def _send(self, event: h11.Event) -> None:
        assert self._writer is not None
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _write(self, head: h11.Request) -> None:
        body = self._request.body
        await self._send(head)
        if isinstance(body, bytes):
            await self._send(h11.Data(data=body))
        elif body is not None:
            while (piece := await body.read()) is not None:
                if piece:
                    await self._send(h11.Data(data=piece))
        await self._send(h11.EndOfMessage())

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                eof = self._http.trailing_data[1]
                text = "unexpected EOF" if self.head_received else "EOF"
                raise ExchangeError(text if eof else f"malformed HTTP response: {error}") from error
            if event is not h11.NEED_DATA:
                return event
            try:
                self._http.receive_data(await self._reader.read(CHUNK_BYTES))
            except OSError as error:
                raise ExchangeError("read: connection reset by peer") from error

    async def head(self) -> Answer:
        """The final answer's head; raises ExchangeError."""
        try:
            head = self._head()
        except (h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise ExchangeError(f"net/http: invalid request: {error}") from error
        try:
            self._reader, self._writer = await connect(self._address, tls=self._tls, send_buffer=self._send_buffer)
        except DialError as error:
            raise ExchangeError(str(error)) from error
        self._writing = asyncio.create_task(self._write(head))
        answer = asyncio.create_task(self._final())
        try:
            await asyncio.wait({self._writing, answer}, return_when=asyncio.FIRST_COMPLETED)
            if self._writing.done() and isinstance(self._writing.exception(), CancelledUploadError):
                raise ExchangeError("request cancelled")
            event = await answer
        finally:
            answer.cancel()
        self.head_received = True
        return self._answer(event)

    async def _final(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise ExchangeError("malformed HTTP response")

    def _answer(self, event: h11.Response) -> Answer:
        answer = Answer(event.status_code)
        for raw, value in event.headers.raw_items():
            name = canonical(raw.decode("latin-1"))
            if name.lower() not in HOP_BY_HOP:
                answer.headers.setdefault(name, []).append(value.decode(errors="replace"))
        self._gunzip = self._asked_gzip and answer.headers.get("Content-Encoding") == ["gzip"]
        if self._gunzip:
            answer.headers.pop("Content-Encoding")
            answer.headers.pop("Content-Length", None)
        return answer

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, at most 32 KiB at a time; raises ExchangeError."""
        inflater = zlib.decompressobj(wbits=31)
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ExchangeError("unexpected EOF")
            try:
                data = inflater.decompress(event.data) if self._gunzip else bytes(event.data)
            except zlib.error as error:
                raise ExchangeError("gzip: invalid header") from error
            for start in range(0, len(data), CHUNK_BYTES):
                yield data[start : start + CHUNK_BYTES]

    async def close(self) -> None:
        """The service sees its client leave; the body's writer is let go."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
            if not self._writing.cancelled():
                self._writing.exception()
        if isinstance(self._request.body, Pipe):
            await self._request.body.leave()
        if self._writer is not None:
            self._writer.close()

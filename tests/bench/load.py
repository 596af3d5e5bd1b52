"""A load generator on bare protocols: keep-alive connections, each with one request at a time."""

import asyncio
import time
from functools import partial


class Requester(asyncio.Protocol):
    """One connection; only for answers with Content-Length, which the benchmark's services give."""

    def __init__(self, request: bytes, until: float, count: int | None, done: asyncio.Future[None]) -> None:
        self._request = request
        self._until = until
        self._left = count
        self._done = done
        self._buffer = b""
        self._begun = 0.0
        self.seconds: list[float] = []
        self.wrong = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._begun = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def stop(self) -> None:
        """The request that is under way is the last one."""
        self._until = 0.0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._buffer = body[length:]
        now = time.perf_counter()
        self.seconds.append(now - self._begun)
        self.wrong += not head.startswith(b"HTTP/1.1 200")
        if self._left is not None:
            self._left -= 1
        if self._left == 0 or now > self._until:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("closed in the middle"))


Open = tuple[Requester, asyncio.Future[None]]
"""A connection that already asks, and its end."""


async def start_requests(
    address: tuple[str, int], host: str, path: str, *, connections: int, seconds: float = 600, each: int | None = None
) -> list[Open]:
    """Connections that go on asking for so long, or so many times."""
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    until = time.perf_counter() + seconds
    requesters = []
    for _ in range(connections):
        done = loop.create_future()
        _, protocol = await loop.create_connection(partial(Requester, request, until, each, done), *address)
        requesters.append((protocol, done))
    return requesters


async def finish_requests(requesters: list[Open]) -> list[float]:
    """Each request's latency in seconds, once all are through."""
    await asyncio.gather(*(done for _, done in requesters))
    latencies = [value for protocol, _ in requesters for value in protocol.seconds]
    if wrong := sum(protocol.wrong for protocol, _ in requesters):
        raise AssertionError(f"{wrong} of {len(latencies)} answers were not 200")
    return latencies


async def small_requests(
    address: tuple[str, int], host: str, path: str, *, connections: int, seconds: float = 600, each: int | None = None
) -> tuple[list[float], float]:
    """Each request's latency in seconds, and requests per second over all."""
    began = time.perf_counter()
    requesters = await start_requests(address, host, path, connections=connections, seconds=seconds, each=each)
    latencies = await finish_requests(requesters)
    return latencies, len(latencies) / (time.perf_counter() - began)

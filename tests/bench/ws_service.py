"""The WebSocket service of the benchmarks, as light as one can be: `python -m tests.bench.ws_service`.

Prints one line `ready PORT`. Every message of `/echo` comes back. On `/order` a text message is an order: `down COUNT
SIZE` is answered with so many binary messages, as fast as they are taken; `up BYTES` with `done` once so many bytes
of binary messages came.
"""

import asyncio
import contextlib
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):
    """Sends back what comes."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


class Order(WSListener):
    """Sends, or takes, as much as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self._to_send = 0
        self._message = b""
        self._to_take = 0
        self._full = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            self._to_take -= len(frame.get_payload_as_memoryview())
            if self._to_take <= 0:
                transport.send(WSMsgType.TEXT, b"done")
        elif frame.msg_type == WSMsgType.TEXT:
            what, *numbers = frame.get_payload_as_utf8_text().split()
            if what == "down":
                self._to_send, self._message = int(numbers[0]), bytes(int(numbers[1]))
                self._send()
            else:
                self._to_take = int(numbers[0])
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._send()

    def _send(self) -> None:
        while self._to_send and not self._full:
            self._to_send -= 1
            self._transport.send(WSMsgType.BINARY, self._message)


def listener(request: WSUpgradeRequest) -> WSListener:
    return Order() if request.path.startswith(b"/order") else Echo()


async def main() -> None:
    server = await ws_create_server(listener, "127.0.0.1", 0, backlog=1024, max_frame_size=1024 * 1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    async with server:
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())

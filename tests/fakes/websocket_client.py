"""A WebSocket's client, played by hand: writes down what call and conversation ask, and tells nothing by itself."""

from tests.fakes.spliced_client import FakeSplicedClient
from tunnel.account import Account
from tunnel.port import Headers


class FakeWebSocketClient:
    """A `WebSocketClient`. While it has no `room`, it takes what it is given and has drained nothing."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = log if log is not None else []
        self.room = True
        self.held_bytes = 0
        self.unsent_bytes = 0

    def start(self, listener: object, /) -> None:
        self.log.append("start")

    def leave(self) -> None:
        self.log.append("leave")

    def send(self, message: str | bytes, /) -> bool:
        self.log.append(f"send {message!r}")
        return self.room

    def send_now(self, message: str | bytes, /) -> bool:
        return self.send(message)

    def flush(self) -> bool:
        return self.room

    def close(self, code: int, reason: str, /) -> bool:
        self.log.append(f"close {code}")
        return self.room

    def abort(self) -> None:
        self.log.append("abort")

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")


class FakeHandshake:
    """A `Handshake`, and the end that it opens; both write into one log."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.end_opened = FakeWebSocketClient(self.log)
        self.passes_bytes = False
        self.end_spliced = FakeSplicedClient(self.log)
        self.subprotocol: str | None = None
        self.fields: Headers = []
        self.body = b""

    def accept(self, subprotocol: str | None, headers: Headers, /) -> None:
        self.log.append("accept")
        self.subprotocol, self.fields = subprotocol, headers

    def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        self.log.append(f"refuse {status}")
        self.fields, self.body = headers, body

    def open(self, max_message_bytes: int, account: Account, /) -> FakeWebSocketClient:
        self.log.append("open")
        return self.end_opened

    def splice(self) -> FakeSplicedClient:
        self.log.append("splice")
        return self.end_spliced

    def end(self) -> None:
        self.log.append("end")

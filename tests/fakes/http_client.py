"""The client of an HTTP call, played by hand: writes down what the call asks of it, and tells nothing by itself."""

from tunnel.port import Headers


class FakeHttpClient:
    """An `HttpClient`. What was started and not `taken` yet can be retracted."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.status = 0
        self.fields: Headers = []
        self.body = b""
        self.block = b""
        """The lines of an answer that came whole."""
        self.taken = False
        """The head was given to the server."""
        self.unsent_bytes = 0
        self.takes_at_once = False
        """What is passed on."""

    def start(self, status: int, fields: Headers, /) -> None:
        self.log.append(f"start {status}")
        self.status, self.fields = status, fields

    def retract(self) -> bool:
        self.log.append("retract")
        return not self.taken

    def send(self, data: bytes, /) -> None:
        self.log.append(f"send {len(data)}")
        self.body += data

    def pass_on(self, data: bytes, /) -> bool:
        self.send(data)
        return self.takes_at_once

    def end(self) -> None:
        self.log.append("end")

    def whole(self, status: int, fields: Headers, block: bytes, body: bytes, /) -> bool:
        self.block = block
        self.answer(status, fields, body)
        return False

    def interim(self, status: int, fields: Headers, /) -> None:
        self.log.append(f"interim {status}")

    def trailers(self, fields: Headers, /) -> None:
        self.log.append(f"trailers {fields}")

    def answer(self, status: int, fields: Headers, body: bytes, /) -> None:
        self.log.append(f"answer {status}")
        self.status, self.fields, self.body = status, fields, body

    def break_off(self, why: str, /) -> None:
        self.log.append("break off")

    def abort(self) -> None:
        self.log.append("abort")

    def read_body(self) -> None:
        self.log.append("read body")

    def pause_body(self) -> None:
        self.log.append("pause body")

    def resume_body(self) -> None:
        self.log.append("resume body")

    def watch(self) -> None:
        self.log.append("watch")

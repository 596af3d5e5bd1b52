"""An `HttpListener` that writes down what its client tells it."""

from app.public.client_port import HttpListener
from app.rules.problems import Problem


class Recorder(HttpListener):
    """See the module. `wanted`: what it answers to a part of the body."""

    def __init__(self, *, wanted: bool = True) -> None:
        self.wanted = wanted
        self.log: list[str] = []
        self.body_ = b""

    def begin(self) -> None:
        self.log.append("begin")

    def body(self, data: bytes, /, *, last: bool) -> bool:
        self.body_ += data
        self.log.append(f"body {len(data)}{' last' if last else ''}")
        return self.wanted

    def spoil(self, problem: Problem, why: str, /) -> None:
        self.log.append(f"spoil {problem.status}")

    def sending(self) -> None:
        self.log.append("sending")

    def sent(self, size_bytes: int, /) -> None:
        self.log.append(f"sent {size_bytes}")

    def finished(self, size_bytes: int = 0, /) -> None:
        self.log.append(f"finished {size_bytes}")

    def broken_off(self) -> None:
        self.log.append("broken off")

    def left(self, why: str = "", /) -> None:
        self.log.append("left")

    def broke(self) -> None:
        self.log.append("broke")

"""A sink that writes down what it is told, and fails the test when it is told anything after the end."""

from collections.abc import Callable

from tunnel.errors import TunnelError
from tunnel.port import Headers, ResponseHead


class FakeSink:
    """A `Sink`; `on_call`, where set, is called with the name of each call, after it was written down."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.heads: list[ResponseHead] = []
        self.pieces: list[bytes] = []
        self.trailer_fields: Headers | None = None
        self.error: TunnelError | None = None
        self.on_call: Callable[[str], None] | None = None
        self._inside = False

    def head(self, head: ResponseHead) -> None:
        self.heads.append(head)
        self._called("head")

    def data(self, data: bytes) -> None:
        assert data
        assert type(data) is bytes
        self.pieces.append(data)
        self._called("data")

    def trailers(self, headers: Headers) -> None:
        self.trailer_fields = headers
        self._called("trailers")

    def end(self) -> None:
        self._called("end")

    def failed(self, error: TunnelError) -> None:
        self.error = error
        self._called("failed")

    def writable(self) -> None:
        self._called("writable")

    def _called(self, name: str) -> None:
        assert not {"end", "failed"} & set(self.calls), f"{name} after the end"
        self.calls.append(name)
        assert not self._inside, f"{name} from within another call"
        if self.on_call is not None:
            self._inside = True
            self.on_call(name)
            self._inside = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def statuses(self) -> list[int]:
        return [head.status for head in self.heads]

    @property
    def outcome(self) -> str:
        """`end`, the name of the error it failed with, or `open`."""
        if self.error is not None:
            return type(self.error).__name__
        return "end" if "end" in self.calls else "open"

"""Who stands where nobody must hear anything more: a sink, and a stream's owner, that ignore every call."""

from tunnel.errors import TunnelError
from tunnel.override import override
from tunnel.port import Headers, ResponseHead, Sink
from tunnel.streams import StreamOwner


class Nobody(Sink):
    """The sink of an exchange that is over."""

    __slots__ = ()

    @override
    def head(self, head: ResponseHead, /) -> None: ...

    @override
    def data(self, data: bytes, /) -> None: ...

    @override
    def trailers(self, headers: Headers, /) -> None: ...

    @override
    def end(self) -> None: ...

    @override
    def failed(self, error: TunnelError, /) -> None: ...

    @override
    def writable(self) -> None: ...


NOBODY: Sink = Nobody()


class _NoOwner(StreamOwner):
    """The owner of a stream that has none."""

    __slots__ = ()

    @override
    def data_received(self, data: bytes, /) -> None: ...

    @override
    def end_received(self) -> None: ...

    @override
    def stream_lost(self, error: TunnelError, /) -> None: ...

    @override
    def stream_writable(self) -> None: ...


NO_OWNER: StreamOwner = _NoOwner()

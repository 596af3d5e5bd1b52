"""The sink of an exchange whose door must hear nothing more: it ignores every call."""

from tunnel.errors import TunnelError
from tunnel.override import override
from tunnel.port import Headers, ResponseHead, Sink


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

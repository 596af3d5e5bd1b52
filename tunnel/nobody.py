"""The sink of an exchange whose door shall hear nothing more: takes every call, and says nothing."""

from tunnel.errors import TunnelError
from tunnel.port import Headers, ResponseHead, Sink


class Nobody:
    """The sink of an exchange that is over."""

    __slots__ = ()

    def head(self, head: ResponseHead, /) -> None:
        """Not called."""

    def data(self, data: bytes, /) -> None:
        """Not called."""

    def trailers(self, headers: Headers, /) -> None:
        """Not called."""

    def end(self) -> None:
        """Not called."""

    def failed(self, error: TunnelError, /) -> None:
        """Not called."""

    def writable(self) -> None:
        """Not called."""


NOBODY: Sink = Nobody()

"""The owner of an `HttpConnection`, as two functions. One that is spliced is closed when that ends."""

from collections.abc import Callable
from typing import Any

from tunnel.http1 import HttpConnection


def _nothing(_: Any) -> None: ...


class Callbacks:
    """A `ConnectionOwner`."""

    def __init__(
        self, *, on_idle: Callable[[HttpConnection], None] = _nothing, on_closed: Callable[[Any], None] = _nothing
    ) -> None:
        self.connection_idle = on_idle
        self.connection_closed = on_closed

    def spliced_ended(self) -> None:
        self.connection_closed(None)

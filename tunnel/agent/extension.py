"""A named extension of the protocol, as the links to one gateway use it.

It outlives its links: the keeper passes the same one to each link in turn. All calls are plain calls on the event loop.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tunnel.agent.reasons import Reason
from tunnel.wire.messages import Envelope, RegisterSuccess


class Say(Protocol):
    """Sends a message on the link."""

    def __call__(self, kind: str, payload: msgspec.Struct, request_id: str | None = None, /) -> bool:
        """False: it was not sent, because it is longer than the gateway accepts."""


class Extension(Protocol):
    """What a link does beyond what every link does."""

    @property
    def feature(self) -> str:
        """Its name among the features of `register`."""

    def registered(self, success: RegisterSuccess) -> None:
        """The gateway has registered the agent; its hello is not acknowledged yet.

        Raises `control.DialogueError` if the gateway lacks the extension: the link then never serves.
        """

    def ready(self, say: Say) -> None:
        """The link serves."""

    def received(self, envelope: Envelope) -> bool:
        """Take a message that neither the link nor its carrier knows, or an `error`. False: it is not the extension's.

        Raises MessageError for one that cannot be understood and is skipped.
        """

    def ended(self, reason: Reason) -> None:
        """The link is gone, or a dial led to none."""


class Extensions(Protocol):
    """The extensions of a whole process."""

    @property
    def each(self) -> Sequence[Extension]:
        """One for each gateway, in their order."""

    def begin(self, stop: Callable[[], None], round_trip: Callable[[], float | None]) -> None:
        """The gateways are about to be dialled. `stop` ends the process; `round_trip` is that of a link, in seconds."""

    def leave(self) -> None:
        """The process is about to end; nothing is closed yet."""

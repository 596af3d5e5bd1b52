"""What can become of a request to NATS, and what a message looks like: what others know of `connection`."""

from collections.abc import Mapping
from typing import Protocol


class Message(Protocol):
    """What comes for a subscription."""

    @property
    def subject(self) -> str: ...  # noqa: D102

    @property
    def reply(self) -> str: ...  # noqa: D102

    @property
    def data(self) -> bytes: ...  # noqa: D102

    @property
    def headers(self) -> Mapping[str, str] | None: ...  # noqa: D102


class RequestError(Exception):
    """A request had no answer. The message says why, for the operator."""


class NotSentError(RequestError):
    """The connection had ended before the request was sent."""


class LostError(RequestError):
    """The connection ended after the request was sent."""


class NobodyError(RequestError):
    """NATS knows nobody who would answer: there is no such stream, or no JetStream."""


class NoAnswerError(RequestError):
    """Nothing came back in time."""


class ForbiddenError(RequestError):
    """Nothing came back, because this user may not publish there."""


class RefusedError(RequestError):
    """JetStream answered with an error, of this number."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number

"""What an exchange asks of the carrier that carries it. An exchange knows only this, never the carrier's class.

An exchange belongs to one carrier at a time. Its agent may come back on another link and answer there: the exchange is
then handed over to that link's carrier. All calls are plain and never wait.
"""

from collections.abc import Callable
from typing import Protocol

from tunnel.account import Account
from tunnel.gateway.proxied.proxy_stream import ProxyStream


class ExchangeCarrier(Protocol):
    """One link, as its exchanges see it."""

    name: str
    """The link's name in the log."""
    cluster: str
    dialect: str
    account: Account
    clock: Callable[[], float]
    agent_limit_bytes: int
    """The largest message that the agent accepts."""
    is_lost: bool
    forgetful: bool
    """The agent ends its exchanges with its link: it sends no answer on another one."""
    grace_seconds: float
    """How long an exchange whose link was lost waits for the agent's next one."""

    @property
    def max_message_bytes(self) -> int:
        """The largest WebSocket message that any route allows, and the largest answer in one message."""

    def open_stream(
        self, request_id: str, drained: Callable[[], None], *, whole_bytes: int, interval_seconds: float
    ) -> ProxyStream:
        """A stream for a new exchange; see `AgentConnection.open_stream`."""

    def tell(self, text: str) -> None:
        """Send the agent a small message; if the link is lost, on its next link."""

    def upload_began(self) -> None:
        """A streamed upload starts: the agent may be silent for as long as a slow service takes."""

    def upload_ended(self) -> None:
        """A streamed upload that was announced with `upload_began` is over."""

    def newer_link_came(self, moment: float) -> bool:
        """Whether a link of this cluster and dialect came after `moment`."""

    def hand_over(self, request_id: str) -> None:
        """Another link takes this exchange over."""

    def answer_ended(self, request_id: str) -> None:
        """The agent sent all of the answer: a later message with this id is for nobody, on any link."""

    def delivered(self, request_id: str) -> None:
        """The exchange's sink hears nothing more: the exchange no longer counts as load."""

    def close_exchange(self, request_id: str) -> None:
        """The exchange is over: release its stream and forget its id. Idempotent."""


class WebSocketCarrier(ExchangeCarrier, Protocol):
    """One link, as its WebSockets see it: what the dialects do differently."""

    forwards_pings: bool
    """Whether pings reach the service, and pongs the door."""

    def send_message(self, stream: ProxyStream, encoded: bytes) -> bool:
        """Queue one encoded WebSocket message. False when the stream is above its mark."""

    def close_service(self, stream: ProxyStream, payload: bytes) -> bool:
        """Pass on the door's close frame. True: that is all; False: the agent's answer is still to come."""

    def break_off(self, stream: ProxyStream, payload: bytes) -> None:
        """Close the service with this payload of a close frame and clean up, in order; no answer is waited for."""

    def end_websocket(self, stream: ProxyStream, reason: str, *, in_handshake: bool) -> None:
        """Tell the agent that a WebSocket is over, and why where the dialect can say it."""

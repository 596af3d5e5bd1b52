"""What a link asks of the dialect that it speaks: to carry exchanges, each its own way, over one connection.

A carrier is fed what the agent sends and asked what to send next; it opens upstreams. All plain calls. The link
keeps the connection, the control messages that every dialect has, and the keep-alive; a carrier never closes a
link: it raises `BrokenRuleError`, and the link does.
"""

from collections.abc import Callable
from typing import Protocol

from tunnel.errors import TunnelError
from tunnel.port import Target, Upstream
from tunnel.wire.messages import Envelope


class BrokenRuleError(Exception):
    """The agent broke its protocol so that the link cannot go on; the text names the rule, for the operator's log.

    `code` is what the link is closed with (RFC 6455 section 7.4.1).
    """

    def __init__(self, rule: str, code: int = 1002) -> None:
        super().__init__(rule)
        self.code = code


class LinkSide(Protocol):
    """The link as its carrier sees it."""

    @property
    def name(self) -> str:
        """For logs and records, such as `link-7`; never used again."""

    @property
    def cluster(self) -> str:
        """The cluster that the agent serves."""

    @property
    def agent_id(self) -> str | None:
        """None until the agent has said its name."""

    @property
    def wake(self) -> Callable[[], None]:
        """To be called when `Carrier.next_message` may have something to send."""

    @property
    def clock(self) -> Callable[[], float]:
        """The link's time, in seconds."""


class Carrier(Protocol):
    """One dialect on one link."""

    dialect: str
    """`yamux`, `json` or `chunk`."""
    active: int
    """Exchanges under way: the load by which links are chosen."""
    going_away: bool
    """No new exchange: the agent is about to leave."""

    @property
    def message_limit_bytes(self) -> int:
        """The longest text message that the agent may send."""

    @property
    def patience(self) -> float | None:
        """Seconds that the agent may be silent after a ping; None: as long as the link's own timing says."""

    def upstream(self, target: Target, /) -> Upstream:
        """The upstream to a target; the same one each time while it is used."""

    def message_received(self, envelope: Envelope, text: str | bytes, /) -> bool:
        """A text message of a type that the link does not know; `text` is all of it. False: nor does the carrier.

        Raises BrokenRuleError, and MessageError for one that cannot be understood and is skipped.
        """

    def bytes_received(self, data: bytes, /) -> None:
        """A binary message. Raises BrokenRuleError, and MessageError."""

    def next_message(self) -> str | bytes | None:
        """What to send next, at most about 64 KiB where it can be divided; None when there is nothing."""

    def probe(self, now: float, /) -> None:
        """Ask the agent for a sign of life."""

    def tick(self, now: float, /) -> bool:
        """Hold the dialect's deadlines; about twice a second. True: probe now, whatever the interval says."""

    def lost(self, error: TunnelError, /) -> None:
        """The link is gone: every exchange is told, or kept for the agent's next link. Idempotent.

        What `next_message` still gives afterwards is sent where the agent may yet hear us.
        """

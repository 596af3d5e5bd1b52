"""A link and its carrier, as each sees the other. The carrier is the dialect that the link speaks.

A carrier is fed what the agent sends, is asked what to send next, and opens upstreams. All are plain calls. The link
owns the connection, the control messages that all dialects share, and the keep-alive. A carrier never closes a link:
it raises `BrokenRuleError`, and the link closes itself.
"""

from collections.abc import Callable
from typing import Protocol

from tunnel.errors import TunnelError
from tunnel.gateway.figures import Figures
from tunnel.gateway.round_trips import RoundTrips
from tunnel.port import Target, Upstream
from tunnel.wire.messages import Envelope
from tunnel.yamux import Batch, Pace


class BrokenRuleError(Exception):
    """The agent broke its protocol and the link cannot go on. The text names the rule, for the operator's log.

    `code` is the close code for the link (RFC 6455 section 7.4.1).
    """

    def __init__(self, rule: str, code: int = 1002) -> None:
        super().__init__(rule)
        self.code = code


class LinkSide(Protocol):
    """The link as its carrier sees it."""

    accepts_bytes: int
    """The largest message that the agent may send in `json` and `chunk`, as we told it when it registered; 0: untold.
    It stays valid for the life of the link, whatever the settings say meanwhile."""
    agent_limit_bytes: int
    """The largest message that the agent accepts; `NO_LIMIT_BYTES` if it has not told."""
    has_more: bool
    """True, unless the carrier has just returned its last message and says so: nobody need ask for another."""

    @property
    def round_trips(self) -> RoundTrips:
        """To be told of each ping that was answered."""

    @property
    def pace(self) -> Pace:
        """How much may leave at once."""

    @property
    def name(self) -> str:
        """For logs and records, such as `link-7`; no two links have the same."""

    @property
    def cluster(self) -> str:
        """The cluster that the agent serves."""

    @property
    def agent_id(self) -> str | None:
        """None until the agent has named itself."""

    @property
    def wake(self) -> Callable[[], None]:
        """Call it when `next_message` may have something to send."""

    @property
    def clock(self) -> Callable[[], float]:
        """The link's time, in seconds."""

    def reconsider(self) -> None:
        """The carrier's `going_away` changed: new exchanges may use the link no more."""


class Carrier(Protocol):
    """One dialect on one link."""

    dialect: str
    """`yamux`, `json` or `chunk`."""
    active: int
    """The number of running exchanges. Links are chosen by it."""
    is_ending: bool
    """The link is lost, and not all exchanges were told yet: `next_message` may still get more."""
    going_away: bool
    """The agent is about to leave: it takes no new exchange."""

    @property
    def answered_at(self) -> float | None:
        """When the latest of our pings that was answered had left; None: pings have no answer of their own here."""

    @property
    def message_limit_bytes(self) -> int:
        """Of the longest text message that the agent may send."""

    @property
    def patience(self) -> float | None:
        """Seconds that the agent may be silent after a ping; None: the link's own timing applies."""

    def figures(self) -> Figures:
        """What is on the link now. It looks at every stream: for the operator, not for the data path."""

    def retire(self) -> None:
        """Take no new exchange from now on, and keep no stream for one. Sets `going_away`; running ones go on."""

    def ask_to_move(self) -> None:
        """Ask the agent to have another link before this one ends, if the dialect can. Nothing else changes."""

    def upstream(self, target: Target, /) -> Upstream:
        """The upstream to a target; the same one as long as it is in use."""

    def message_received(self, envelope: Envelope, text: str | bytes, /) -> bool:
        """Take a text message of a type that the link does not know; `text` is the whole message.

        False: the carrier does not know it either. Raises BrokenRuleError, and MessageError for a message that
        cannot be understood and is skipped.
        """

    def bytes_received(self, data: bytes, /) -> None:
        """Take a binary message. Raises BrokenRuleError and MessageError."""

    def next_message(self) -> str | Batch | None:
        """The next message to send, at most about 64 KiB where it can be divided; None when there is none."""

    def probe(self, now: float, /) -> None:
        """Send the agent a ping, of whatever kind the dialect has."""

    def tick(self, now: float, /) -> bool:
        """Check the dialect's deadlines; called about twice a second. True: a probe is due now."""

    def lost(self, error: TunnelError, /) -> None:
        """The link is gone: fail every exchange, or keep it for the agent's next link. Idempotent.

        What `next_message` still returns afterwards is sent if the agent may still hear us.
        """

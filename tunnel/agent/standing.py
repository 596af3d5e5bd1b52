"""How this agent stands with one gateway: what its keeper does, since when, and what went wrong last.

A record: it decides nothing and reads no clock; moments come in as seconds of the wall clock (Unix time). Invariants:
there is one state at a time; every dial is counted once, by how it came out; a failure's text is one line, without
secrets, of at most `FAILURE_CHARACTERS`.
"""

from dataclasses import dataclass
from enum import StrEnum

FAILURE_CHARACTERS = 500


class State(StrEnum):
    """What a keeper does now."""

    CONNECTING = "connecting"
    """Name, TCP, TLS and handshake."""
    REGISTERING = "registering"
    """The gateway accepted the WebSocket, and has not taken the agent yet."""
    READY = "ready"
    """Registered: the link takes streams."""
    WAITING = "waiting"
    """Between two attempts."""
    LEAVING = "leaving"
    """Told to stop: what runs still may end, and nothing new begins."""


class Dial(StrEnum):
    """How a dial came out: the label `outcome`."""

    READY = "ready"
    REFUSED = "refused"
    """The gateway answered, and did not take the agent."""
    REVOKED = "revoked"
    """It answered 401."""
    PROXY = "proxy"
    """The proxy on the way refused."""
    TLS = "tls"
    UNREACHABLE = "unreachable"
    """No connection, or no answer."""
    FAILED = "failed"
    """The token could not be read, or something of ours failed."""


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a dial failed or a link ended, in one line for people."""

    at: float
    text: str


class Standing:
    """The record of one gateway."""

    def __init__(self, gateway: str, now: float) -> None:
        self.gateway = gateway
        """The gateway's URL without its query."""
        self.state = State.CONNECTING
        self.since = now
        self.link = ""
        """The name of the link that the state is about; empty while there is none."""
        self.dials: dict[Dial, int] = dict.fromkeys(Dial, 0)
        self.last_failure: Failure | None = None
        self.next_attempt_at: float | None = None
        """While it waits."""

    def __repr__(self) -> str:
        return f"<Standing {self.gateway} {self.state}>"

    @property
    def reconnects(self) -> int:
        """Links that became ready after the first."""
        return max(0, self.dials[Dial.READY] - 1)

    def connecting(self, link: str, now: float) -> None:
        """A dial begins."""
        self._enter(State.CONNECTING, now)
        self.link = link

    def registering(self, now: float) -> None:
        """The gateway accepted the WebSocket."""
        if self.state is State.CONNECTING:
            self._enter(State.REGISTERING, now)

    def ready(self, now: float) -> None:
        """The link serves."""
        self.dials[Dial.READY] += 1
        if self.state is not State.LEAVING:
            self._enter(State.READY, now)

    def waiting(self, failure: str, until: float, now: float) -> None:
        """The dial failed or the link ended; the next attempt is at `until`."""
        self._enter(State.WAITING, now)
        self.link = ""
        self.last_failure = Failure(now, one_line(failure))
        self.next_attempt_at = until

    def leaving(self, now: float) -> None:
        """The agent stops."""
        if self.state is not State.LEAVING:
            self._enter(State.LEAVING, now)

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        self.since = now
        self.next_attempt_at = None


def one_line(text: str) -> str:
    """Printable, on one line, and not too long."""
    shown = "".join(character if character.isprintable() else " " for character in text[: 2 * FAILURE_CHARACTERS])
    return " ".join(shown.split())[:FAILURE_CHARACTERS]

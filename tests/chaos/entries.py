"""What stands in the books of a chaos run: requests, WebSockets, and troubles. All times are by one clock."""

from dataclasses import dataclass


@dataclass(slots=True)
class Request:
    """One request of a client, and what it was told."""

    key: str
    cluster: str
    began: float
    is_repeatable: bool
    """The method allows it to be sent twice (RFC 9110 section 9.2.2)."""
    ended: float | None = None
    status: int | None = None
    """None: not a byte of an answer."""
    is_whole: bool = True
    """The answer came to its end."""
    is_right: bool = True
    """The body of a 200 is what was due; of events, as far as they came."""
    answered_by: str = ""
    """The cluster that the service named."""
    node: str = ""
    """The gateway that made or carried the answer; empty: the balancer made it, or there was none."""
    has_page: bool = False
    told_to_retry: bool = False
    is_hung: bool = False
    """The client gave up waiting."""
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.is_whole

    @property
    def fateful(self) -> tuple[float, float]:
        """From when to when a fault can have failed it."""
        return self.began, self.began if self.ended is None else self.ended

    @property
    def outcome(self) -> str:
        if self.ended is None:
            return "no outcome"
        if self.is_hung:
            return "left hanging"
        if self.status is None:
            return self.error or "no answer"
        return str(self.status) if self.is_whole else "broken off"


@dataclass(slots=True)
class Talk:
    """One WebSocket after its 101. `ending`: closed (by the client, in order), lost, or what was wrong."""

    key: str
    cluster: str
    began: float
    ended: float
    sent: int
    """Messages are numbered from 0."""
    received: int
    """So many came back, each the next one."""
    ending: str
    code: int | None
    answered_by: str
    node: str

    @property
    def fateful(self) -> tuple[float, float]:
        """Whatever it met before, it lived."""
        return self.ended, self.ended

    @property
    def outcome(self) -> str:
        return f"WebSocket {self.code or 'without a code'}"


@dataclass(slots=True)
class Trouble:
    """One fault as it happened: until when what it broke was in place again."""

    kind: str
    began: float
    ended: float
    cluster: str = ""
    """The only one that it concerns; empty: all of them."""
    node: str = ""
    """The only gateway that it concerns."""
    beyond: frozenset[str] = frozenset()
    """Clusters that other gateways reach through that one: it concerns their requests for them, too."""
    dead_until: float | None = None
    """The gateway's process was killed, and did not answer until then: its clients cannot be told."""

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """How likely it is, beside others, to be the cause."""
        return self.dead_until is not None, bool(self.cluster), self.began

    def concerns(self, one: Request | Talk) -> bool:
        """An exchange without a node could have been at any."""
        if one.cluster in self.beyond:
            return True
        return self.cluster in ("", one.cluster) and (not one.node or self.node in ("", one.node))

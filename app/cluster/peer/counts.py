"""What this node asked of others, in numbers for the metrics. All links of one dialler add to the same ones."""

from ...observed.metrics import HopEnd


class HopCounts:
    """Since the start of the node."""

    __slots__ = ("answers", "exchanges")

    def __init__(self) -> None:
        self.answers = dict.fromkeys(HopEnd, 0)
        """What was answered to streams. A stream carries one exchange, or several one after the other."""
        self.exchanges = 0
        """Requests and WebSockets, each time that one was tried."""

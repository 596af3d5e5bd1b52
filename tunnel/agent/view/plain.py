"""The view in plain lines, for files, pipes and terminals without a cursor: each thing once, when it happens.

It says only when the link is lost and when it is back; in between the log says more. A stream that is too slow loses
lines, and a line says how many.
"""

from collections.abc import Sequence

from tunnel.agent.view import lines
from tunnel.agent.view.output import LineOutput, Output
from tunnel.agent.view.text import clean
from tunnel.agent.view.view import Address
from tunnel.wire.publishing import RequestRow


class PlainView:
    """Lines to an output."""

    takes_log = False

    def __init__(self, output: Output) -> None:
        self._lines = LineOutput(output, _lost)
        self._published: list[Address] = []
        self._served = False
        self._well = False

    def __repr__(self) -> str:
        return f"<PlainView {len(self._published)} published, {self._lines!r}>"

    def published(self, addresses: Sequence[Address]) -> None:
        """One line for each that is new, or gone."""
        for address in self._published:
            if address not in addresses:
                self._line(lines.gone(address))
        for address in addresses:
            if address not in self._published:
                self._line(lines.published(address))
        self._published = list(addresses)

    def state(self, text: str, *, well: bool = False, round_trip: float | None = None) -> None:  # noqa: ARG002 (it changes all the time)
        """One line when a link that served is lost, and one when it serves again."""
        if well != self._well and self._served:
            self._line(clean(text))
        self._well = well
        self._served = self._served or well

    def requests(self, rows: Sequence[RequestRow], left_out: int = 0) -> None:
        """One line for each."""
        hosts = {lines.host_of(address) for address in self._published}
        for row in rows:
            self._line(lines.request(row, with_host=len(hosts) > 1))
        if left_out:
            self._line(lines.left_out(left_out))

    def note(self, text: str) -> None:
        """A line."""
        self._line(clean(text))

    def close(self) -> None:
        """Wait a moment for what was written."""
        self._lines.close()

    def _line(self, text: str) -> None:
        self._lines.write(f"{text}\n")


def _lost(number: int) -> str:
    what = "1 line is" if number == 1 else f"{number} lines are"
    return f"({what} missing here: the output was too slow)\n"

"""The view that has the terminal to itself until it is closed. It is redrawn when something changes, but not too often.

It draws on the terminal's alternate screen, so that the old content returns afterwards; only the notes are left behind,
which may say why it ended. A terminal that is stopped (Ctrl-S) misses frames. Needs a running event loop: it handles
the signals of a changed window and of Ctrl-Z.
"""

import asyncio
import atexit
import contextlib
import os
import signal
import time
from collections.abc import Sequence

from tunnel.agent.view.output import Output
from tunnel.agent.view.screen import Line, Screen, Style
from tunnel.agent.view.view import Address
from tunnel.wire.publishing import RequestRow

FRAME_SECONDS = 0.1
"""The least time between two frames."""
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The alternate screen, no cursor, and no second line for what is too wide."""
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_COLOURS = {
    Style.STRONG: "\x1b[1m",
    Style.FAINT: "\x1b[2m",
    Style.GOOD: "\x1b[32m",
    Style.ODD: "\x1b[33m",
    Style.BAD: "\x1b[31m",
}
_SIZE = os.terminal_size((80, 24))
"""Of a terminal that does not say."""
_STOPPING_SECONDS = 0.2


class TerminalView:
    """One terminal, whose size `descriptor` tells."""

    takes_log = True

    def __init__(self, output: Output, descriptor: int, *, colours: bool) -> None:
        self._output = output
        self._descriptor = descriptor
        self._colours = colours
        self._loop = asyncio.get_running_loop()
        self._screen = Screen()
        self._drawn = ""
        self._drawn_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._output.write(ENTER)
        for number, call in ((signal.SIGWINCH, self._changed), (signal.SIGTSTP, self._stop_process)):
            self._loop.add_signal_handler(number, call)
        atexit.register(self.close)
        self._changed()

    def __repr__(self) -> str:
        return f"<TerminalView{' closed' if self._closed else ''} {self._screen!r}>"

    def published(self, addresses: Sequence[Address]) -> None:
        """See `View`."""
        self._screen.published(addresses)
        self._changed()

    def state(self, text: str, *, well: bool = False, round_trip: float | None = None) -> None:
        """See `View`."""
        self._screen.state(text, well=well, round_trip=round_trip)
        self._changed()

    def requests(self, rows: Sequence[RequestRow], left_out: int = 0) -> None:
        """See `View`."""
        self._screen.requests(rows, left_out)
        self._changed()

    def note(self, text: str) -> None:
        """See `View`."""
        self._screen.note(f"{time.strftime('%H:%M:%S')} {text}")
        self._changed()

    def close(self) -> None:
        """See `View`."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        if self._timer is not None:
            self._timer.cancel()
        for number in (signal.SIGWINCH, signal.SIGTSTP):
            with contextlib.suppress(RuntimeError):  # the loop is closed, and has let go of its signals
                self._loop.remove_signal_handler(number)
        self._output.write(LEAVE + "".join(f"{note}\r\n" for note in self._screen.notes))
        self._output.close()

    def _changed(self) -> None:
        """Something is to be drawn, soon."""
        if self._timer is None and not self._closed and not self._output.dead:
            soon = max(self._loop.time(), self._drawn_at + FRAME_SECONDS)
            self._timer = self._loop.call_at(soon, self._draw)

    def _draw(self) -> None:
        self._timer = None
        self._drawn_at = self._loop.time()
        if not self._output.idle:  # it has not even taken the last frame
            self._changed()
            return
        columns, rows = self._size()
        frame = framed(self._screen.lines(columns, rows), rows, colours=self._colours)
        if frame != self._drawn:
            self._drawn = frame
            self._output.write(frame)

    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return _SIZE
        return size if size.columns and size.lines else _SIZE

    def _stop_process(self) -> None:
        """Ctrl-Z: give the terminal to the shell, and take it back when the process goes on."""
        self._output.write(LEAVE)
        self._output.flush(_STOPPING_SECONDS)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._output.write(ENTER)
        self._drawn = ""
        self._changed()


def framed(lines: Sequence[Line], rows: int, *, colours: bool) -> str:
    """What draws these lines over those of before. Each is emptied first: a full one has no place after it."""
    shown = ["".join(_painted(style, text) if colours else text for style, text in line) for line in lines]
    rest = "\r\n\x1b[J" if len(lines) < rows else ""
    return "\x1b[H" + "\r\n".join(f"\x1b[K{line}" for line in shown) + rest


def _painted(style: Style, text: str) -> str:
    begin = _COLOURS.get(style)
    return f"{begin}{text}\x1b[0m" if begin else text

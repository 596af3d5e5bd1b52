"""Logging to standard error: one line per event, as text for people or as JSON for machines.

`tunnel/log_lines.py` makes the lines, for the agent too. Warnings that repeat are limited in rate, but not the access
log.
"""

import asyncio
import logging
import sys
import time

from tunnel.log_lines import JsonFormatter, TextFormatter

from . import access
from .access_lines import AccessLines
from .standard_error import StandardError

__all__ = ["READY", "FloodGuard", "JsonFormatter", "TextFormatter", "configure", "finish", "lines_dropped"]

logger = logging.getLogger("gateway")

READY = logging.getLogger("gateway.start")
"""For the line that says that the program is ready. Printed at every log level."""

_WINDOW_SECONDS = 10.0
_LINES_PER_WINDOW = 20
"""Of one kind of warning: enough to see what happens, and at most 2 lines a second."""
_KINDS = 1_000
"""Kinds of warnings to remember. The sources have fewer; only a library that formats its texts first makes more."""
_KEPT_SECONDS = 5.0
"""How long parts of access lines are kept: long enough to pay, and no reminder of links that have gone."""


class FloodGuard(logging.Filter):
    """Limits the rate of warnings and errors of one kind: the same logger, level and text before its values, about the
    same thing where the line names one (`extra={"about": ...}`).

    The first 20 in 10 s are written. The first one after that says how many were dropped. Lines below WARNING and the
    access log always pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[
            tuple[str, int, str, str], list[float]
        ] = {}  # -> start of the window, lines written, lines dropped
        self.lines_suppressed = 0
        """Since the start."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this line, by the record's own time."""
        if record.levelno < logging.WARNING or record.name == "gateway.access":
            return True
        kind = (record.name, record.levelno, str(record.msg), getattr(record, "about", ""))
        window = self._kinds.get(kind)
        if window is None or record.created - window[0] >= _WINDOW_SECONDS or record.created < window[0]:
            if window is None and len(self._kinds) >= _KINDS:
                self._kinds.clear()
            if window is not None and window[2]:
                record.suppressed = int(window[2])
            self._kinds[kind] = [record.created, 1, 0]
            return True
        if window[1] < _LINES_PER_WINDOW:
            window[1] += 1
            return True
        window[2] += 1
        self.lines_suppressed += 1
        return False


class _Handler(logging.Handler):
    """Writes to standard error: records of `logging` at once, access lines at the end of the loop's turn, in order.

    Access lines come past `logging` as long as nobody but `configure` has set anything for them, and a loop runs.
    """

    def __init__(self, output: StandardError, style: str, encoding: str, guard: FloodGuard) -> None:
        super().__init__()
        self.output = output
        self.lines = AccessLines(style, encoding, time.time, self._begins, self._forget_later)
        self._encoding = encoding
        self._timer: asyncio.TimerHandle | None = None
        self._root = logging.getLogger()
        self._alone = [self]
        self._filters = [guard]
        self.addFilter(guard)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")
            self.output.write(self.lines.take() + line)
        except Exception:  # noqa: BLE001  (as every handler of `logging` does)
            self.handleError(record)

    def flush(self) -> None:
        """Write what is gathered or held. `logging` calls it at the end of the process."""
        self._end_turn()
        self.output.finish()

    def _end_turn(self) -> None:
        lines = self.lines.take()
        if lines:
            self.output.write(lines)

    def _begins(self) -> bool:
        """The first access line of a turn: whether nobody else listens, and the turn's end will come."""
        own, above = access.logger, logger
        if (
            own.handlers or own.filters or not own.propagate or above.handlers or not above.propagate
            or self._root.handlers != self._alone or self.filters != self._filters or self.level
            or not own.isEnabledFor(logging.INFO)
        ):  # fmt: skip
            return False
        try:
            asyncio.get_running_loop().call_soon(self._end_turn)
        except RuntimeError:
            return False
        return True

    def _forget_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self.lines.forget)


_own: _Handler | None = None
_guard = FloodGuard()


def configure(level: str, style: str) -> None:
    """Send all log lines, uvicorn's too, to standard error in one style. For a process of our own."""
    global _own, _guard  # noqa: PLW0603  (a process has one standard error)
    if _own is not None:
        _own.output.close()
    output, guard = _standard_error(), FloodGuard()
    _guard = guard
    handler: logging.Handler
    if output is None:
        _own = None
        handler = logging.StreamHandler(sys.stderr)
        handler.addFilter(guard)
    else:
        handler = _own = _Handler(output, style, getattr(sys.stderr, "encoding", None) or "utf-8", guard)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    READY.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    access.shorten(_own.lines if _own is not None else None)


def finish() -> None:
    """Write what is still gathered or held, and wait for a slow reader for a second: for the end of the process."""
    if _own is not None:
        _own.flush()


def lines_dropped() -> int:
    """Lines that standard error did not take, since the start of the process."""
    return _own.output.lines_dropped if _own is not None else 0


def lines_suppressed() -> int:
    """Warnings that were left out because too many of their kind came, since the start of the process."""
    return _guard.lines_suppressed


def _standard_error() -> StandardError | None:
    """None where it has no descriptor: it was closed at the start, or replaced by an object."""
    try:
        sys.stderr.flush()
        return StandardError(sys.stderr.fileno(), _say_dropped)
    except (AttributeError, OSError, ValueError):
        return None


def _say_dropped(lines: int) -> None:
    logger.warning("%d lines of the log were dropped: standard error did not take them", lines)

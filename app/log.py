"""How the gateway logs: to standard error, one line per event, as text for people or as JSON for machines."""

import logging
import sys
from datetime import UTC, datetime

import msgspec

READY = logging.getLogger("gateway.start")
"""The one line that says the program serves; printed at every log level."""


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO    gateway  message`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        line = f"{moment:%H:%M:%S}.{int(record.msecs):03} {record.levelname:<7} {record.name:<15} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339, UTC), level, logger, message, and error with the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


class _ServerNoise(logging.Filter):
    """What uvicorn logs as errors and our access line says better.

    A broken answer is broken off by an exception; a WebSocket refused with a response of its own is, for uvicorn,
    a handshake that was not completed.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "BrokenOffError" and record.msg != (
            "ASGI callable returned without completing handshake."
        )


def configure(level: str, style: str) -> None:
    """Send everything, uvicorn's lines included, to standard error in one style."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    READY.setLevel(logging.INFO)
    server = logging.getLogger("uvicorn.error")
    server.setLevel(max(logging.WARNING, root.level))
    server.addFilter(_ServerNoise())
    logging.getLogger("asyncio").setLevel(logging.WARNING)

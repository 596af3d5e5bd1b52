"""Lines of the access log, made straight from a record: no `LogRecord`, no dictionary of fields.

Byte for byte what `logging` and our formatters make of the same record. The usual line, of a request that went well
and whose texts are plain, is one format; any other is made by the same functions as through `logging`.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from tunnel.port import Target

from .access import ending, logger, opening
from .lines import Moments, json_line, text_line
from .record import TEXT_LIMIT, Recorded

_TARGETS = 4_096
"""Targets whose texts are kept. A route has one; more than these are made again."""

_LEVELS = {level: logging.getLevelName(level) for level in (logging.INFO, logging.WARNING)}


class _TargetTexts:
    """What lines say of one target."""

    __slots__ = ("fields", "port", "target", "text")

    def __init__(self, target: Target | None) -> None:
        self.target = target
        """Kept, so that its identity stays its own."""
        self.text = str(target) if target is not None else "-"
        service, namespace, cluster = (target.service, target.namespace, target.cluster) if target else ("", "", "")
        self.fields = f'"service":"{service}","namespace":"{namespace}","cluster_id":"{cluster}"'
        """Only right where the text is plain."""
        self.port = target.port if target is not None else "null"


class AccessLines:
    """Makes lines in one style and one encoding."""

    def __init__(self, style: str, encoding: str, clock: Callable[[], float]) -> None:
        self._json: Final = style == "json"
        self._encoding: Final = encoding
        self._clock: Final = clock
        self._moments: Final = Moments(utc=self._json)
        self._targets: dict[int, _TargetTexts] = {}

    def line(self, record: Recorded, level: int, *, opened: bool) -> bytes:
        """The line of an exchange that opened or ended, at this moment."""
        moment = self._moments.of(self._clock())
        line = None if opened else self._usual(record, moment, _LEVELS[level])
        if line is None:
            message = opening(record) if opened else ending(record)
            if self._json:
                fields = {"event": "opened" if opened else "ended", **record.fields()}
                line = json_line(moment, _LEVELS[level], logger.name, message, fields)
            else:
                line = text_line(moment, _LEVELS[level], logger.name, message)
        return f"{line}\n".encode(self._encoding, "backslashreplace")

    def _usual(self, record: Recorded, moment: str, level: str) -> str | None:
        """The line of a request that went well, if its texts are plain. None: it needs more care."""
        by_client, by_service = record.stalled_by_client_seconds, record.stalled_by_service_seconds
        if (
            record.outcome != "ok" or record.kind != "http" or record.detail or record.limit or not record.host
            or by_client >= 0.1 or by_service >= 0.1
        ):  # fmt: skip
            return None
        target = self._texts(record.target)
        path = record.path.partition(b"?")[0].decode("latin-1")
        host, agent, ended_at = record.host.decode("latin-1"), record.agent, record.ended_at
        seconds = ended_at - record.began if ended_at is not None else 0.0
        message = (
            f"{record.method} {host}{path} {record.status or '-'} in {seconds * 1000:.0f} ms, "
            f"{record.bytes_up} bytes up, {record.bytes_down} down, to {target.text} by "
            f"{agent or record.link or 'no agent'}, id {record.request_id}"
        )
        if not self._json:
            plain = len(message) <= TEXT_LIMIT and message.isprintable()
            return f"{moment} {level:<7} gateway.access  {message}" if plain else None
        texts = f"{message}{record.client}{record.link}{record.dialect}{agent}"
        if (
            len(texts) > TEXT_LIMIT or not texts.isprintable() or '"' in texts or "\\" in texts
            or record.close_code is not None or record.closed_by
        ):  # fmt: skip
            return None
        link_at, head_at, began = record.link_at, record.head_at, record.began
        return (
            f'{{"time":"{moment}","level":"{level.lower()}","logger":"gateway.access","message":"{message}",'
            f'"event":"ended","request_id":"{record.request_id}","host":"{host}","path":"{path}",{target.fields},'
            f'"kind":"http","method":"{record.method}","port":{target.port},"client":"{record.client}",'
            f'"link":"{record.link}","dialect":"{record.dialect}","agent":"{agent}","status":{record.status or "null"},'
            f'"close_code":null,"closed_by":null,"outcome":"ok","limit":null,"detail":"",'
            f'"bytes_up":{record.bytes_up},"bytes_down":{record.bytes_down},'
            f'"messages_up":{record.messages_up},"messages_down":{record.messages_down},'
            f'"seconds":{_json_seconds(seconds)},'
            f'"link_seconds":{_json_seconds(link_at - began) if link_at is not None else "null"},'
            f'"head_seconds":{_json_seconds(head_at - began) if head_at is not None else "null"},'
            f'"stalled_by_client_seconds":{_json_seconds(by_client)},'
            f'"stalled_by_service_seconds":{_json_seconds(by_service)}}}'
        )

    def _texts(self, target: Target | None) -> _TargetTexts:
        found = self._targets.get(id(target))
        if found is None:
            if len(self._targets) >= _TARGETS:
                self._targets.clear()
            found = self._targets[id(target)] = _TargetTexts(target)
        return found


def _json_seconds(seconds: float) -> str:
    """As msgspec writes it, which differs from Python for what is very short or very long."""
    seconds = round(seconds, 6)
    return repr(seconds) if seconds == 0.0 or 0.0001 <= seconds < 1e15 else msgspec.json.encode(seconds).decode()

"""Lines of the access log, made straight from a record: no `LogRecord`, no dictionary of fields.

Byte for byte what `logging` and our formatters make of the same record. The usual line, of a request that went well
and whose texts are plain, is one format, with the parts that requests have in common made beforehand. Any other line is
made by the same functions as through `logging`.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from .access import ending, logger, opening
from .lines import Moments, json_line, text_line
from .record import TEXT_LIMIT, Record

_WAYS = 4_096
"""Ways whose texts are kept. One is a host, a method, a route's target and an agent."""
_NAMES = {level: logging.getLevelName(level) for level in (logging.INFO, logging.WARNING)}


def _is_plain(*texts: str) -> bool:
    """Whether they stand in a line as they are, in JSON too."""
    text = "".join(texts)
    return len(text) <= TEXT_LIMIT and text.isprintable() and '"' not in text and "\\" not in text


class _Way:
    """What the lines of requests on one way have in common."""

    __slots__ = ("asked", "fields", "is_plain", "link", "target", "through")

    def __init__(self, record: Record) -> None:
        target = self.target = record.target
        """Kept, so that no other target gets its identity."""
        host, agent = record.host.decode("latin-1"), record.agent
        service, namespace, cluster = (target.service, target.namespace, target.cluster) if target else ("", "", "")
        self.is_plain = _is_plain(
            record.method, host, str(target), service, namespace, cluster, record.link, agent, record.dialect
        ) and bool(host)  # without a host, lines show a dash
        self.asked = f"{record.method} {host}"
        self.through = f"to {target or '-'} by {agent or record.link or 'no agent'}, id "
        self.fields = (
            f'"service":"{service}","namespace":"{namespace}","cluster_id":"{cluster}","kind":"http",'
            f'"method":"{record.method}","port":{target.port if target else "null"},"client":"'
        )
        self.link = f'","link":"{record.link}","dialect":"{record.dialect}","agent":"{agent}","status":'


class AccessLines:
    """Makes lines in one style and one encoding. Call `forget` some time after each `on_kept`."""

    def __init__(
        self, style: str, encoding: str, clock: Callable[[], float], on_kept: Callable[[], None] = lambda: None
    ) -> None:
        """`on_kept` is called when a first way is kept, at the start and after each `forget`."""
        self._json: Final = style == "json"
        self._encoding: Final = encoding
        self._clock: Final = clock
        self._on_kept: Final = on_kept
        self._moments: Final = Moments(utc=self._json)
        self._heads: Final = {
            level: f'","level":"{name.lower()}","logger":"{logger.name}","message":"'
            if self._json
            else text_line("", name, logger.name, "")
            for level, name in _NAMES.items()
        }
        self._ways: dict[tuple[str, bytes, int, str, str, str], _Way] = {}

    def line(self, record: Record, level: int, *, opened: bool) -> bytes:
        """The line of an exchange that opened or ended, at this moment."""
        clock = self._clock
        moment = self._moments.of(clock())
        if (
            record.outcome != "ok" or record.kind != "http" or record.detail or record.limit
            or record.stalled_by_client_seconds >= 0.1 or record.stalled_by_service_seconds >= 0.1
        ):  # fmt: skip
            return self._any(record, moment, level, opened=opened)
        key = (record.method, record.host, id(record.target), record.link, record.agent, record.dialect)
        way = self._ways.get(key) or self._new_way(key, record)
        path = record.path.decode("latin-1")
        if not way.is_plain or not path.isprintable() or "?" in path or len(path) > TEXT_LIMIT:
            return self._any(record, moment, level, opened=opened)
        ended_at = record.ended_at
        seconds = ended_at - record.began if ended_at is not None else 0.0
        if self._json:
            line = self._usual_json(record, moment + self._heads[level], way, path, seconds)
            return line or self._any(record, moment, level, opened=opened)
        return (
            f"{moment}{self._heads[level]}{way.asked}{path} {record.status or '-'} in {round(seconds * 1000)} ms, "
            f"{record.bytes_up} bytes up, {record.bytes_down} down, {way.through}{record.request_id}\n"
        ).encode(self._encoding, "backslashreplace")

    def _any(self, record: Record, moment: str, level: int, *, opened: bool) -> bytes:
        """A line that is made with care."""
        message, name = opening(record) if opened else ending(record), _NAMES[level]
        if self._json:
            fields = {"event": "opened" if opened else "ended", **record.fields()}
            text = json_line(moment, name, logger.name, message, fields)
        else:
            text = text_line(moment, name, logger.name, message)
        return f"{text}\n".encode(self._encoding, "backslashreplace")

    def _usual_json(self, record: Record, head: str, way: _Way, path: str, seconds: float) -> bytes | None:
        """None: its texts need more care."""
        client, request_id = record.client, record.request_id
        if not _is_plain(path, client) or record.close_code is not None or record.closed_by:
            return None
        began, link_at, head_at = record.began, record.link_at, record.head_at
        return (
            f'{{"time":"{head}{way.asked}{path} {record.status or "-"} in {round(seconds * 1000)} ms, '
            f'{record.bytes_up} bytes up, {record.bytes_down} down, {way.through}{request_id}",'
            f'"event":"ended","request_id":"{request_id}","host":"{record.host.decode("latin-1")}","path":"{path}",'
            f"{way.fields}{client}{way.link}{record.status or 'null'},"
            '"close_code":null,"closed_by":null,"outcome":"ok","limit":null,"detail":"",'
            f'"bytes_up":{record.bytes_up},"bytes_down":{record.bytes_down},'
            f'"messages_up":{record.messages_up},"messages_down":{record.messages_down},'
            f'"seconds":{_json_seconds(seconds)},'
            f'"link_seconds":{_json_seconds(link_at - began) if link_at is not None else "null"},'
            f'"head_seconds":{_json_seconds(head_at - began) if head_at is not None else "null"},'
            f'"stalled_by_client_seconds":{_json_seconds(record.stalled_by_client_seconds)},'
            f'"stalled_by_service_seconds":{_json_seconds(record.stalled_by_service_seconds)}}}\n'
        ).encode(self._encoding, "backslashreplace")

    def _new_way(self, key: tuple[str, bytes, int, str, str, str], record: Record) -> _Way:
        way = _Way(record)
        if way.is_plain:  # else it may be of any length
            if len(self._ways) >= _WAYS:
                self.forget()
            if not self._ways:
                self._on_kept()
            self._ways[key] = way
        return way

    def forget(self) -> None:
        """Keep nothing: links and agents go, and what is still used is made again."""
        self._ways.clear()


def _json_seconds(seconds: float) -> str:
    """To the microsecond, as msgspec writes the rounded number."""
    if seconds == 0.0:
        return "0.0"
    if 0.0001 <= seconds < 1e9:  # there it has no exponent, and every digit counts
        text = f"{seconds:.6f}".rstrip("0")
        return f"{text}0" if text[-1] == "." else text
    return msgspec.json.encode(round(seconds, 6)).decode()

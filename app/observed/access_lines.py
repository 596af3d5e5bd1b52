"""Lines of the access log, made straight from a record: no `LogRecord`, no dictionary of fields.

Byte for byte what `logging` and our formatters make of the same record. The usual line, of a request that went well
and whose texts are plain, is one format, with the parts that requests have in common made beforehand. Any other line is
made by the same functions as through `logging`. The lines of one turn of the event loop are of one moment, that of the
first, and are encoded together.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from tunnel.log_lines import JSON_ZONE, TEXT_ZONE, Moments, json_line, text_line

from .access import ending, logger, opening
from .record import TEXT_LIMIT, Record, level_of, node_of, via

_WAYS = 4_096
"""Ways whose texts are kept. One is a host, a method, a route's target, an agent and a status."""
_SMALL = {number: str(number) for number in range(2_048)}
"""Texts of numbers, as of most milliseconds: to make one costs more than the rest of the line."""

_Key = tuple[str, str, bytes, int, str, str, str, int, str]


def _is_plain(*texts: str) -> bool:
    """Whether they stand in a line as they are, in JSON too."""
    text = "".join(texts)
    return len(text) <= TEXT_LIMIT and text.isprintable() and '"' not in text and "\\" not in text


class _Way:
    """What the lines of requests on one way have in common."""

    __slots__ = ("asked", "fields", "is_plain", "link", "said", "target", "through")

    def __init__(self, record: Record, *, json: bool) -> None:
        target = self.target = record.target
        """Kept, so that no other target gets its identity."""
        host, agent, status = record.host.decode("latin-1"), record.agent, record.status
        service, namespace, cluster = (target.service, target.namespace, target.cluster) if target else ("", "", "")
        self.is_plain = _is_plain(
            record.method, host, str(target), service, namespace, cluster, record.link, agent, record.dialect
        ) and bool(host)  # without a host, lines show a dash
        self.asked = f"{_start(level_of(record), json=json)}{record.method} {host}"
        """What comes between the time and the path."""
        self.said = f" {status or '-'} in "
        self.through = f"to {target or '-'} by {agent or record.link or 'no agent'}{via(record.link)}, id "
        self.fields = (
            f'"service":"{service}","namespace":"{namespace}","cluster_id":"{cluster}","kind":"http",'
            f'"method":"{record.method}","port":{target.port if target else "null"},"client":"'
        )
        node = node_of(record.link)
        hop = f'"node":"{node}","hop":true,' if node else ""
        self.link = (
            f'","link":"{record.link}","dialect":"{record.dialect}","agent":"{agent}",{hop}"status":{status or "null"},'
            '"close_code":null,"closed_by":null,"outcome":"ok","limit":null,"detail":"",'
        )


def _start(level: int, *, json: bool) -> str:
    """What stands between the time and the message."""
    name = logging.getLevelName(level)
    if json:
        return f'","level":"{name.lower()}","logger":"{logger.name}","message":"'
    return text_line("", name, logger.name, "")


class AccessLines:
    """The access lines of this turn of the loop, in one style and one encoding.

    Call `take` at the end of a turn for which `begins` said True, and `forget` some time after each `on_kept`.
    """

    def __init__(
        self, style: str, encoding: str, clock: Callable[[], float],
        begins: Callable[[], bool] = lambda: True, on_kept: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`begins` is called before the first line of a turn; False: no line is wanted.

        `on_kept` is called when a first way is kept, at the start and after each `forget`.
        """
        self._json: Final = style == "json"
        self._encoding: Final = encoding
        self._clock: Final = clock
        self._begins: Final = begins
        self._on_kept: Final = on_kept
        self._moments: Final = Moments(JSON_ZONE if self._json else TEXT_ZONE)
        self._moment = ""
        self._made: list[str] = []
        self._ways: dict[_Key, _Way] = {}

    def ended(self, record: Record) -> bool:
        """Make the line of an exchange that ended. False: no line is wanted."""
        made = self._made
        if not made and not self._begin():
            return False
        target, ended_at = record.target, record.ended_at
        key = (
            record.kind, record.method, record.host, id(target), record.link, record.agent, record.dialect,
            record.status, record.outcome,
        )  # fmt: skip
        way = self._ways.get(key) or self._new_way(key, record)
        path = record.path.decode("latin-1")
        if (
            way is None or ended_at is None or record.detail or record.limit
            or record.stalled_by_client_seconds + record.stalled_by_service_seconds >= 0.1
            or not path.isprintable() or "?" in path or len(path) > TEXT_LIMIT
        ):  # fmt: skip
            made.append(self._any(record, opened=False))
            return True
        if self._json:
            made.append(self._usual_json(record, way, path, ended_at) or self._any(record, opened=False))
            return True
        milliseconds = round((ended_at - record.began) * 1000)
        trace = f", trace {record.trace_id}\n" if record.trace_id else "\n"
        made.append(
            f"{self._moment}{way.asked}{path}{way.said}{_SMALL.get(milliseconds, milliseconds)} ms, "
            f"{record.bytes_up or '0'} bytes up, {record.bytes_down} down, {way.through}{record.request_id}{trace}"
        )
        return True

    def opened(self, record: Record) -> bool:
        """Make the line of a WebSocket that is open on both sides. False: no line is wanted."""
        if not self._made and not self._begin():
            return False
        self._made.append(self._any(record, opened=True))
        return True

    def take(self) -> bytes:
        """The lines since the last call. Any thread may call it."""
        lines = self._made[:]
        del self._made[: len(lines)]  # not `clear`: another thread may have appended one in between
        return "".join(lines).encode(self._encoding, "backslashreplace")

    def forget(self) -> None:
        """Keep no way: links and agents go, and what is still used is made again."""
        self._ways.clear()

    # --- inside

    def _begin(self) -> bool:
        """The first line of a turn: the others get its time."""
        begins = self._begins
        if not begins():
            return False
        clock = self._clock
        self._moment = self._moments.of(clock())
        return True

    def _any(self, record: Record, *, opened: bool) -> str:
        """A line that is made with care."""
        message = opening(record) if opened else ending(record)
        name = logging.getLevelName(logging.INFO if opened else level_of(record))
        if self._json:
            fields = {"event": "opened" if opened else "ended", **record.fields()}
            return json_line(self._moment, name, logger.name, message, fields) + "\n"
        return text_line(self._moment, name, logger.name, message) + "\n"

    def _usual_json(self, record: Record, way: _Way, path: str, ended_at: float) -> str | None:
        """None: its texts need more care."""
        client, request_id = record.client, record.request_id
        if not _is_plain(path, client) or record.close_code is not None or record.closed_by:
            return None
        began, link_at, head_at = record.began, record.link_at, record.head_at
        seconds = ended_at - began
        trace_id = record.trace_id
        trace, field = (f", trace {trace_id}", f',"trace_id":"{trace_id}"') if trace_id else ("", "")
        milliseconds = round(seconds * 1000)
        return (
            f'{{"time":"{self._moment}{way.asked}{path}{way.said}{_SMALL.get(milliseconds, milliseconds)} ms, '
            f'{record.bytes_up} bytes up, {record.bytes_down} down, {way.through}{request_id}{trace}",'
            f'"event":"ended","request_id":"{request_id}","host":"{record.host.decode("latin-1")}","path":"{path}",'
            f"{way.fields}{client}{way.link}"
            f'"bytes_up":{record.bytes_up},"bytes_down":{record.bytes_down},'
            f'"messages_up":{record.messages_up},"messages_down":{record.messages_down},'
            f'"seconds":{_json_seconds(seconds)},'
            f'"link_seconds":{_json_seconds(link_at - began) if link_at is not None else "null"},'
            f'"head_seconds":{_json_seconds(head_at - began) if head_at is not None else "null"},'
            f'"stalled_by_client_seconds":{_json_seconds(record.stalled_by_client_seconds)},'
            f'"stalled_by_service_seconds":{_json_seconds(record.stalled_by_service_seconds)}{field}}}\n'
        )

    def _new_way(self, key: _Key, record: Record) -> _Way | None:
        """None: its lines need more care."""
        if record.kind != "http" or record.outcome != "ok":
            return None
        way = _Way(record, json=self._json)
        if not way.is_plain:  # and it may be of any length
            return None
        if len(self._ways) >= _WAYS:
            self.forget()
        if not self._ways:
            self._on_kept()
        self._ways[key] = way
        return way


def _json_seconds(seconds: float) -> str:
    """To the microsecond, as msgspec writes the rounded number."""
    if seconds == 0.0:
        return "0.0"
    if 0.0001 <= seconds < 1e9:  # there it has no exponent, and every digit counts
        text = f"{seconds:.6f}".rstrip("0")
        return f"{text}0" if text[-1] == "." else text
    return msgspec.json.encode(round(seconds, 6)).decode()

"""What the original leaves to Go's standard library, and Go does differently from Python.

Pure functions: header names, the encoding of paths and queries, times, durations, the text of a failed request.
Bytes that are not UTF-8 pass through every one of them, as they do in Go's strings.
"""

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote_from_bytes, unquote_to_bytes

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-])(\d\d):(\d\d))")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)


def canonical(name: str) -> str:
    """A header's name as Go writes it: `Sec-Websocket-Key`; a name with a forbidden character stays as it is."""
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def encode_path(path: str) -> str:
    """A decoded path, encoded again: `?` and `%` are data (section 5)."""
    return quote_from_bytes(path.encode(errors="surrogatepass"), safe="/$&+,:;=@-_.~")


def encode_query(query: str) -> str:
    """A raw query, parsed, sorted by key and encoded again; ValueError with Go's text (section 5)."""
    pairs: list[tuple[bytes, bytes]] = []
    for part in query.encode(errors="surrogatepass").split(b"&"):
        if b";" in part:
            raise ValueError("invalid semicolon separator in query")
        if not part:
            continue
        key, _, value = part.partition(b"=")
        for text in (key, value):
            if bad := _BAD_ESCAPE.search(text):
                raise ValueError(f'invalid URL escape "{bad.group().decode(errors="replace")}"')
        pairs.append((unquote_to_bytes(key.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))))
    pairs.sort(key=lambda pair: pair[0])
    return "&".join(f"{_escape(key)}={_escape(value)}" for key, value in pairs)


def _escape(data: bytes) -> str:
    return quote_from_bytes(data, safe=" -_.~").replace(" ", "+")


def parse_time(text: str) -> datetime:
    """A strict RFC 3339 time with its zone; ValueError otherwise (section 2)."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not RFC 3339 with a zone")
    year, month, day, hour, minute, second = (int(match[index]) for index in range(1, 7))
    micros = int(float(match[7] or 0) * 1_000_000)
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0)) * (-1 if match[8] == "-" else 1)
    return datetime(year, month, day, hour, minute, second, micros, tzinfo=timezone(offset))


def duration_seconds(text: str) -> float | None:
    """Seconds of a Go duration such as `1m30s`; None when it is none."""
    sign, text = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def now() -> str:
    """This moment as Go marshals it: up to nine digits, trailing zeros cut, `Z`."""
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def url_error(method: str, url: str, reason: str) -> str:
    """The text of net/url's Error: `Get "http://...": reason`."""
    return f'{method[:1].upper()}{method[1:].lower()} "{url}": {reason}'

"""The Date of an answer whose service sent none: a proxy that has a clock adds it (RFC 9110 section 6.6.1).

The text is made once a second. An answer that came whole and has a Date costs a search in its lines.
"""

import time
from email.utils import formatdate

from tunnel.port import Headers


class _Second:
    """The current second, and its text."""

    __slots__ = ("number", "text")

    def __init__(self) -> None:
        self.number = -1
        self.text = b""


_second = _Second()


def date_now() -> bytes:
    """The value of a Date field."""
    now = int(time.time())
    if now != _second.number:
        _second.number, _second.text = now, formatdate(now, usegmt=True).encode("ascii")
    return _second.text


def with_date(headers: Headers, block: bytes) -> bytes:
    """The lines of an answer with a Date; `headers`, the same as fields with names in lower case, gets one too."""
    if b"\r\nDate:" in block or b"\r\ndate:" in block or has_date(headers):
        return block
    date = date_now()
    headers.append((b"date", date))
    return b"%bdate: %b\r\n" % (block, date)


def has_date(headers: Headers) -> bool:
    """Whether there is a Date among fields with names in lower case."""
    return any(name == b"date" for name, _ in headers)


def dated(headers: Headers) -> Headers:
    """The fields of an answer, with names in lower case, and with a Date."""
    return headers if has_date(headers) else [*headers, (b"date", date_now())]

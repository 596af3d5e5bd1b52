"""Where today's doors differ from the right verdict, and why: by reason, the cases.

Each row must be seen to deviate: one that no longer does fails its test and is taken out. A door without entries here
does what the corpus says. `SOMETIMES` are the rows where chance decides how the bytes are cut when they are read, or
whether a reset overtakes the answer; they are listed, and may be right.
"""

from tests.doors.differences.of_httptools import OTHER_METHODS

Known = dict[str, tuple[str, ...]]

UVICORN: Known = {
    "the parser forgives it at the start of a line or between its words": (
        "lines: a bare LF first", "lines: a bare CR first", "lines: CR CR LF first",
        "lines: two blanks before the target", "lines: two blanks before the version", "targets: /  is none",
        "pipelines: a bare LF between", "pipelines: a bare CR between",
    ),
    "the parser's own list of versions and protocols: what is on it passes, even as 1.1; all else is 400": (
        "lines: RTSP", "versions: HTTP/1.2 is read as 1.1", "versions: HTTP/1.9 is read as 1.1", "versions: HTTP/2.0",
        "versions: HTTP/3.0", "versions: HTTP/9.9", "versions: HTTP/0.9", "versions: HTTP/0.0",
        "versions: no version, as in HTTP/0.9", "versions: no version and no fields", "versions: ICE/1.0",
        "versions: RTSP/1.0", "pipelines: another version behind a request",
    ),
    "interim answers and trailers of a service go no further": (
        "expectations: hints before the answer", "trailers: of an answer, to a client that takes them",
    ),
    "HTTP/1.0 is treated as 1.1": (
        "versions: 1.0, absolute form without Host", "versions: 1.0, an answer in chunks",
        "versions: 1.0 with keep-alive, an answer in chunks", "versions: 1.0 with chunks", "upgrades: HTTP/1.0",
        "expectations: HTTP/1.0", "trailers: of an answer, to HTTP/1.0",
    ),
    "the parser knows its own list of methods": OTHER_METHODS,
    "the parser splits a URL and puts it together again: an empty query and a fragment are lost": (
        "targets: /? stays", "targets: /q? stays", "targets: /# has a fragment", "targets: /a#b has a fragment",
        "targets: /?q#b has a fragment", "targets: /a# has a fragment", "targets: /a?# has a fragment",
        "targets: /a#b?c has a fragment", "targets: absolute with an empty query", "targets: absolute with a fragment",
        "upgrades: a target with a fragment",
    ),
    "every refusal of the parser is a 400, whatever the reason": (
        "targets: a target above the limit",
    ),
    "a request without Host is asked for like one of an unknown host": (
        "hosts: none", "hosts: none, but other fields", "hosts: none, for a path of our own",
        "hosts: none, with a body", "hosts: none, in X-Forwarded-Host instead", "codings: a coding without Host",
        "upgrades: no Host",
    ),
    "Host is looked at only where its name is routed: all else is 404, however malformed": (
        "hosts: two, the other one first", "hosts: two, the control host first", "hosts: two, of nobody",
        "hosts: two, the empty one first", "hosts: two in one, with a comma", "hosts: two in one, with a blank",
        "hosts: a port of letters", "hosts: a negative port", "hosts: two ports", "hosts: a name with userinfo",
        "hosts: a name with a password", "hosts: another host behind the name", "hosts: a URI",
        "hosts: a path behind the name", "hosts: in quotes", "hosts: an IPv6 address without brackets",
        "hosts: an open bracket", "hosts: a bracket alone", "hosts: brackets around a name",
        "hosts: a name behind brackets", "hosts: invalid in HTTP/1.0", "upgrades: a Host with userinfo",
    ),
    "a blank behind a value is kept as a part of it": (
        "hosts: with a blank after", "hosts: with a tab after", "hosts: with blanks on both sides",
        "lengths: a blank after", "lengths: a tab after", "lengths: 0 and a blank", "codings: a tab after",
    ),
    "what is pipelined is parsed at once: its fault is answered in place of the request before it": (
        "lengths: too short: the rest is no request", "lengths: none: the body is a request line",
        "chunks: noise behind the last", "chunks: a length behind the last", "trailers: noise behind them",
        "pipelines: a blank between", "pipelines: NUL between", "pipelines: noise behind a request",
        "pipelines: a bad one in the middle", "pipelines: a bad length behind a request",
    ),
    "the parser's own grammar of chunk extensions: no blanks, empty names and values": (
        "chunks: the extension '; a'", "chunks: the extension ' ;a'", "chunks: the extension ' ; a = b'",
        "chunks: the extension '\\t;a'", "chunks: the extension ';=b' is none",
        "chunks: the extension ';a=' is none",
    ),
    "chunk extensions have no bound": (
        "chunks: an extension of 20,000 bytes", "chunks: extensions of 200,000 bytes in all",
    ),
    "the parser reads Proxy-Connection, and a Connection among trailers, as Connection": (
        "trailers: Connection is not believed", "pipelines: Proxy-Connection is not Connection",
    ),
    "trailers have no bound": (
        "trailers: 257 of them", "trailers: one of 200,000 bytes", "trailers: one of 200,000 bytes without an end",
    ),
    "the WebSocket library parses the handshake again, with its own limits": (
        "upgrades: a cookie of 9 KiB", "upgrades: a cookie of 12 KiB", "upgrades: a cookie of 100 KiB",
        "upgrades: 130 fields", "upgrades: 256 fields", "upgrades: a target of 9,000 bytes",
    ),
    "what comes in the segment of the handshake is lost": (
        "upgrades: a message at once", "upgrades: two messages at once", "upgrades: half a message at once",
        "upgrades: one byte of a message at once",
    ),
    "only an unfinished head is counted: one that is complete after a read may be larger": (
        "limits: 131,073 bytes in one field", "limits: 131,074 bytes in one field",
        "limits: 131,073 bytes in many fields", "limits: a head above the limit, with a body",
        "limits: a head above the limit, of nobody", "limits: a head above the limit, behind a request",
    ),
    "uvicorn limits neither the fields nor the bytes of a head": (
        "limits: 140,000 bytes in one field",
    ),
}  # fmt: skip
"""What the parser of uvicorn's protocol class does, and the class with it."""

OURS: Known = {}
"""What the door of our own does."""

ONLY_UVICORN: Known = {
    "uvicorn drops the authority of a target in absolute form, and knows no other than the parser's forms": (
        "targets: absolute without a path", "targets: absolute with a query alone",
        "targets: absolute with an empty port", "targets: absolute, another host", "targets: absolute, another port",
        "targets: absolute, another Host", "targets: absolute, an empty Host", "targets: absolute, no Host",
        "targets: absolute with userinfo", "targets: absolute with userinfo that looks like the host",
        "targets: absolute of another scheme", "targets: absolute, ws scheme",
        "targets: absolute with OPTIONS, without a path", "upgrades: absolute form",
        "upgrades: absolute form of another host",
    ),
    "an asterisk is taken for a path that is not routed": (
        "targets: an asterisk and more", "targets: two asterisks",
    ),
    "uvicorn takes trailers that come with the head for fields of the head": (
        "trailers: one", "trailers: two", "trailers: one that Trailer announced", "trailers: one without a body",
        "trailers: one with blanks around", "trailers: an empty one", "trailers: one that is in the head too",
        "trailers: Authorization is not believed", "trailers: Cookie is not believed",
        "trailers: Content-Type is not believed", "trailers: a request behind them", "trailers: 100 of them",
        "trailers: one of 8 KiB",
    ),
    "uvicorn knows an upgrade by one spelling, and stops parsing at any other": (
        "upgrades: another offer beside it", "upgrades: another offer before it", "upgrades: blanks around",
        "upgrades: h2c with a body", "upgrades: h2c with a body that looks like a request",
        "upgrades: h2c with chunks", "upgrades: h2c, and a request behind it",
    ),
    "the WebSocket library's refusal is not sent": (
        "upgrades: 257 fields", "upgrades: a cookie above the limit",
    ),
    "uvicorn limits neither the fields nor the bytes of a head": (
        "limits: 257 fields", "limits: 1000 fields", "limits: 20000 fields", "limits: 250,000 bytes in one field",
        "limits: 1,000,000 bytes in one field", "limits: 200,000 bytes without an end",
        "limits: a name without an end", "limits: empty lines without an end",
    ),
}  # fmt: skip
"""What else comes of uvicorn's protocol classes."""

SOMETIMES = frozenset((
    "limits: 140,000 bytes in one field", "limits: a head above the limit, behind a request",
    "limits: a head above the limit, of nobody", "limits: a head above the limit, with a body",
    "limits: 131,073 bytes in many fields", "limits: 131,073 bytes in one field", "limits: 131,074 bytes in one field",
))  # fmt: skip


def _by_case(*tables: Known) -> dict[str, str]:
    return {name: reason for table in tables for reason, names in table.items() for name in names}


DEVIATIONS: dict[str, dict[str, str]] = {
    "python -m app": _by_case(OURS),
    "uvicorn --http app.server.http:Protocol": _by_case(OURS),
    "uvicorn app.main:app": _by_case(UVICORN, ONLY_UVICORN),
}
"""By door and case, the reason."""

"""llhttp, behind httptools: what it reads otherwise than the verdicts, and why.

By reason, the cases. None of them is a reason to follow it: the verdict's own rule stands in the corpus.
"""

from tests.doors.comparison import Differences

OTHER_METHODS = (
    "methods: BASELINE-CONTROL", "methods: CHECKIN", "methods: LABEL", "methods: MKREDIRECTREF",
    "methods: MKWORKSPACE", "methods: ORDERPATCH", "methods: UNCHECKOUT", "methods: UPDATE",
    "methods: UPDATEREDIRECTREF", "methods: VERSION-CONTROL", "methods: BAN", "methods: X", "methods: get",
    "methods: Get", "methods: GETS", "methods: BREW", "methods: x-y.z_1", "methods: 123",
    "methods: a method with !", "methods: a method with #", "methods: a method with $", "methods: a method with %",
    "methods: a method with &", "methods: a method with '", "methods: a method with *", "methods: a method with +",
    "methods: a method with -", "methods: a method with .", "methods: a method with ^", "methods: a method with _",
    "methods: a method with `", "methods: a method with |", "methods: a method with ~",
    "methods: a method of 100 letters", "methods: trace in lower case is another method",
    "methods: a method of its own with a body", "lengths: too short: the rest is the next request",
)  # fmt: skip
"""Cases with a method that is not on its list."""

HTTPTOOLS: Differences = {
    "it forgives stray line ends before a request, and blanks within its line": (
        "lines: a bare LF first", "lines: a bare CR first", "lines: CR CR LF first",
        "lines: two blanks before the target", "lines: two blanks before the version", "targets: /  is none",
        "pipelines: a bare LF between", "pipelines: a bare CR between",
    ),
    "it knows its own list of versions and protocols": (
        "lines: RTSP", "versions: HTTP/1.2 is read as 1.1", "versions: HTTP/1.9 is read as 1.1", "versions: HTTP/2.0",
        "versions: HTTP/0.9", "versions: no version, as in HTTP/0.9", "versions: no version and no fields",
        "versions: ICE/1.0", "versions: RTSP/1.0", "pipelines: another version behind a request",
    ),
    "a target in absolute form is reported as it came, and not compared with Host": (
        "versions: 1.0, absolute form without Host", "targets: absolute", "targets: absolute without a path",
        "targets: absolute with a slash", "targets: absolute with a query alone",
        "targets: absolute with an empty query", "targets: absolute with the default port",
        "targets: absolute with an empty port", "targets: absolute in upper case",
        "targets: absolute with two slashes", "targets: absolute with an encoded slash",
        "targets: absolute, another host", "targets: absolute, another port", "targets: absolute, another Host",
        "targets: absolute, an empty Host", "targets: absolute, no Host", "targets: absolute, two Hosts",
        "targets: absolute with a fragment", "targets: absolute with userinfo",
        "targets: absolute with userinfo that looks like the host", "targets: absolute without an authority",
        "targets: absolute with a port alone", "targets: absolute with a port of letters",
        "targets: absolute of another scheme", "targets: absolute, ws scheme", "targets: a file",
        "upgrades: absolute form", "upgrades: absolute form of another host",
    ),
    "HTTP/1.0 with a transfer coding is read like 1.1": (
        "versions: 1.0 with chunks",
    ),
    "Host is counted at most, and its value not looked at": (
        "versions: 1.0 with two Hosts", "hosts: none", "hosts: none, but other fields",
        "hosts: none, for a path of our own", "hosts: none, with a body", "hosts: none, in X-Forwarded-Host instead",
        "hosts: two, the same", "hosts: two, the other one last", "hosts: two, the other one first",
        "hosts: two, the control host last", "hosts: two, the control host first", "hosts: two, of nobody",
        "hosts: two, one of them empty", "hosts: two, the empty one first", "hosts: two, in different case",
        "hosts: two, far apart", "hosts: two in one, with a comma", "hosts: two in one, with a blank", "hosts: three",
        "hosts: a port of letters", "hosts: a negative port", "hosts: two ports", "hosts: a name with the byte 0x20",
        "hosts: a name with the byte 0x22", "hosts: a name with the byte 0x23", "hosts: a name with the byte 0x2f",
        "hosts: a name with the byte 0x3c", "hosts: a name with the byte 0x3e", "hosts: a name with the byte 0x3f",
        "hosts: a name with the byte 0x40", "hosts: a name with the byte 0x5b", "hosts: a name with the byte 0x5c",
        "hosts: a name with the byte 0x5d", "hosts: a name with the byte 0x5e", "hosts: a name with the byte 0x60",
        "hosts: a name with the byte 0x7b", "hosts: a name with the byte 0x7c", "hosts: a name with the byte 0x7d",
        "hosts: a name with the byte 0x09", "hosts: a name with the byte 0x80", "hosts: a name with the byte 0xe9",
        "hosts: a name with the byte 0xff", "hosts: a name with userinfo", "hosts: a name with a password",
        "hosts: another host behind the name", "hosts: a URI", "hosts: a path behind the name", "hosts: in quotes",
        "hosts: an IPv6 address without brackets", "hosts: an open bracket", "hosts: a bracket alone",
        "hosts: brackets around a name", "hosts: a name behind brackets", "hosts: 254 characters",
        "hosts: 300 characters, of nobody", "hosts: 10,000 characters in one label", "hosts: 60,000 labels",
        "hosts: 60,000 colons", "hosts: 60,000 digits of a port", "hosts: invalid in HTTP/1.0",
        "codings: a coding without Host", "codings: a coding and two Hosts", "pipelines: two Hosts behind a request",
        "upgrades: no Host", "upgrades: two Hosts", "upgrades: a Host with userinfo",
        "upgrades: a Host that is too long", "limits: two Hosts among too many fields",
    ),
    "it knows its own list of methods": OTHER_METHODS,
    "which method, version and form go together is not its business": (
        "methods: TRACE", "methods: CONNECT to an authority", "methods: CONNECT to a path",
        "targets: an asterisk with GET", "targets: an asterisk with POST", "targets: an asterisk and more",
        "targets: two asterisks",
    ),
    "a fragment is not looked for": (
        "targets: /# has a fragment", "targets: /a#b has a fragment", "targets: /?q#b has a fragment",
        "targets: /a# has a fragment", "targets: /a?# has a fragment", "targets: /a#b?c has a fragment",
        "upgrades: a target with a fragment",
    ),
    "it has no limit for that, or another one": (
        "targets: a target above the limit", "chunks: an extension of 20,000 bytes",
        "chunks: extensions of 200,000 bytes in all", "trailers: 257 of them", "trailers: one of 200,000 bytes",
        "trailers: one of 200,000 bytes without an end", "upgrades: 257 fields", "upgrades: a cookie above the limit",
        "limits: 257 fields", "limits: 1000 fields", "limits: 20000 fields", "limits: 131,073 bytes in one field",
        "limits: 131,074 bytes in one field", "limits: 140,000 bytes in one field",
        "limits: 250,000 bytes in one field", "limits: 1,000,000 bytes in one field",
        "limits: 131,073 bytes in many fields", "limits: 200,000 bytes without an end",
        "limits: a name without an end", "limits: empty lines without an end",
        "limits: a head above the limit, with a body", "limits: a head above the limit, of nobody",
        "limits: a head above the limit, behind a request",
    ),
    "2**63 is a length like another": (
        "lengths: 9223372036854775808 is too large",
    ),
    "a tab behind chunked makes another coding of it": (
        "codings: a tab after",
    ),
    "it takes any coding before chunked, and leaves it to the caller": (
        "codings: gzip, chunked", "codings: identity, chunked", "codings: deflate,chunked",
        "codings: gzip, gzip, chunked", "codings: x, chunked", "codings: identity, then chunked",
        "codings: gzip, then chunked",
    ),
    "its grammar of chunk extensions has no blanks, and allows what is empty": (
        "chunks: the extension '; a'", "chunks: the extension ' ;a'", "chunks: the extension ' ; a = b'",
        "chunks: the extension '\\t;a'", "chunks: the extension ';=b' is none", "chunks: the extension ';a=' is none",
    ),
    "Proxy-Connection: close ends the connection": (
        "pipelines: Proxy-Connection is not Connection",
    ),
    "it stops behind the head of any upgrade": (
        "upgrades: h2c with a body", "upgrades: h2c with a body that looks like a request",
        "upgrades: h2c with chunks", "upgrades: h2c, and a request behind it",
    ),
}  # fmt: skip

"""h11: what it reads otherwise than the verdicts, and why.

By reason, the cases. None of them is a reason to follow it: the verdict's own rule stands in the corpus.
"""

from tests.doors.comparison import Differences

H11: Differences = {
    "it refuses empty lines before a request": (
        "lines: an empty line first", "lines: three empty lines first", "lines: nothing but an empty line",
        "pipelines: an empty line between", "pipelines: an empty line behind a body",
        "pipelines: three empty lines between",
    ),
    "LF ends a line as well as CRLF": (
        "lines: LF alone ends the line", "lines: LF alone ends every line", "names: LF alone ends a field",
        "names: LF alone is the empty line", "names: LF LF within the head", "names: a request behind LF LF",
        "values: a bare LF and a field", "codings: 'chunked\\nX: 1' is none", "codings: behind a bare LF",
        "chunks: LF alone at the end", "chunks: LF for every line end", "trailers: LF alone behind one",
        "trailers: LF LF", "trailers: LF alone ends them", "upgrades: a bare LF",
    ),
    "where the line ends are wrong it may wait for an end that does not come": (
        "lines: CR alone ends every line", "names: CR CR LF is the empty line", "chunks: CR CR LF at the end",
        "limits: a blank for the last LF",
    ),
    "any digit is a version": (
        "lines: HTTP/2 with prior knowledge", "versions: HTTP/2.0", "versions: HTTP/3.0", "versions: HTTP/9.9",
        "versions: HTTP/0.9", "versions: HTTP/0.0", "pipelines: another version behind a request",
    ),
    "a target in absolute form is reported as it came, and not compared with Host": (
        "versions: 1.0, absolute form without Host", "targets: absolute", "targets: absolute without a path",
        "targets: absolute with a slash", "targets: absolute with a query alone",
        "targets: absolute with an empty query", "targets: absolute with the default port",
        "targets: absolute with an empty port", "targets: absolute in upper case",
        "targets: absolute with two slashes", "targets: absolute with an encoded slash",
        "targets: absolute, another host", "targets: absolute, another port", "targets: absolute, another Host",
        "targets: absolute, an empty Host", "targets: absolute with a fragment", "targets: absolute with userinfo",
        "targets: absolute with userinfo that looks like the host", "targets: absolute without an authority",
        "targets: absolute with a port alone", "targets: absolute with one slash", "targets: absolute without slashes",
        "targets: absolute with a backslash", "targets: absolute with a port of letters",
        "targets: absolute of another scheme", "targets: absolute, ws scheme", "targets: a file",
        "upgrades: absolute form", "upgrades: absolute form of another host",
    ),
    "HTTP/1.0 with a transfer coding is read like 1.1": (
        "versions: 1.0 with chunks", "versions: 1.0 with chunks and a length", "lengths: beside a coding, in HTTP/1.0",
    ),
    "which method, version and form go together is not its business": (
        "methods: TRACE", "methods: CONNECT to an authority", "methods: CONNECT to a path", "methods: PRI",
        "targets: a has no form", "targets: a/b has no form", "targets: ?a has no form", "targets: ? has no form",
        "targets: index.html has no form", "targets: %2F has no form", "targets: \\\\a has no form",
        "targets: . has no form", "targets: .. has no form", "targets: ./a has no form", "targets: :80 has no form",
        "targets: a:b has no form", "targets: @ has no form", "targets: an authority with GET",
        "targets: an authority without a port", "targets: an asterisk with GET", "targets: an asterisk with POST",
        "targets: an asterisk and more", "targets: two asterisks",
    ),
    "a fragment is not looked for": (
        "targets: /# has a fragment", "targets: /a#b has a fragment", "targets: /?q#b has a fragment",
        "targets: /a# has a fragment", "targets: /a?# has a fragment", "targets: # has a fragment",
        "targets: /a#b?c has a fragment", "upgrades: a target with a fragment",
    ),
    "it has no limit for that, or another one": (
        "targets: a target above the limit", "chunks: an extension of 20,000 bytes",
        "chunks: extensions of 200,000 bytes in all", "trailers: 257 of them", "trailers: one of 200,000 bytes",
        "upgrades: 257 fields", "upgrades: a cookie above the limit", "limits: 257 fields", "limits: 1000 fields",
        "limits: 20000 fields", "limits: 131,073 bytes in one field", "limits: 131,074 bytes in one field",
        "limits: 140,000 bytes in one field", "limits: 250,000 bytes in one field",
        "limits: 1,000,000 bytes in one field", "limits: 131,073 bytes in many fields",
        "limits: a head above the limit, with a body", "limits: a head above the limit, of nobody",
        "limits: a head above the limit, behind a request",
    ),
    "Host is counted at most, and its value not looked at": (
        "hosts: two in one, with a comma", "hosts: two in one, with a blank", "hosts: folded", "hosts: with a bare LF",
        "hosts: a port of letters", "hosts: a negative port", "hosts: two ports", "hosts: a name with the byte 0x20",
        "hosts: a name with the byte 0x22", "hosts: a name with the byte 0x23", "hosts: a name with the byte 0x2f",
        "hosts: a name with the byte 0x3c", "hosts: a name with the byte 0x3e", "hosts: a name with the byte 0x3f",
        "hosts: a name with the byte 0x40", "hosts: a name with the byte 0x5b", "hosts: a name with the byte 0x5c",
        "hosts: a name with the byte 0x5d", "hosts: a name with the byte 0x5e", "hosts: a name with the byte 0x60",
        "hosts: a name with the byte 0x7b", "hosts: a name with the byte 0x7c", "hosts: a name with the byte 0x7d",
        "hosts: a name with the byte 0x09", "hosts: a name with the byte 0x01", "hosts: a name with the byte 0x1f",
        "hosts: a name with the byte 0x7f", "hosts: a name with the byte 0x80", "hosts: a name with the byte 0xe9",
        "hosts: a name with the byte 0xff", "hosts: a name with userinfo", "hosts: a name with a password",
        "hosts: another host behind the name", "hosts: a URI", "hosts: a path behind the name", "hosts: in quotes",
        "hosts: an IPv6 address without brackets", "hosts: an open bracket", "hosts: a bracket alone",
        "hosts: brackets around a name", "hosts: a name behind brackets", "hosts: 254 characters",
        "hosts: 300 characters, of nobody", "hosts: 10,000 characters in one label", "hosts: 60,000 labels",
        "hosts: 60,000 colons", "hosts: 60,000 digits of a port", "hosts: invalid in HTTP/1.0",
        "upgrades: a Host with userinfo", "upgrades: a Host that is too long",
    ),
    "a folded line is joined to the one before": (
        "names: a line folded with a blank", "names: a line folded with a tab", "names: a line folded twice",
        "names: an empty fold", "names: an empty value that is folded", "names: a fold that looks like a field",
        "lengths: folded", "codings: a blank before the name", "codings: folded", "trailers: folded",
        "upgrades: a fold",
    ),
    "controls other than NUL, CR and LF pass in values": (
        "values: the control 0x01", "values: the control 0x02", "values: the control 0x03", "values: the control 0x04",
        "values: the control 0x05", "values: the control 0x06", "values: the control 0x07", "values: the control 0x08",
        "values: the control 0x0e", "values: the control 0x0f", "values: the control 0x10", "values: the control 0x11",
        "values: the control 0x12", "values: the control 0x13", "values: the control 0x14", "values: the control 0x15",
        "values: the control 0x16", "values: the control 0x17", "values: the control 0x18", "values: the control 0x19",
        "values: the control 0x1a", "values: the control 0x1b", "values: the control 0x1c", "values: the control 0x1d",
        "values: the control 0x1e", "values: the control 0x1f", "values: DEL", "trailers: a control",
    ),
    "equal lengths are one": (
        "lengths: '1,1' is none", "lengths: '1, 1' is none", "lengths: two, the same", "lengths: two zeros",
    ),
    "a length or chunk of any size is a number": (
        "lengths: 9223372036854775808 is too large", "lengths: 18446744073709551616 is too large",
        "lengths: 18446744073709551621 is too large", "chunks: a size of 2**64 and 5",
    ),
    "Content-Length is dropped beside Transfer-Encoding": (
        "lengths: before a coding", "lengths: after a coding", "lengths: 0 beside a coding",
        "lengths: twice beside a coding", "lengths: beside a coding in upper case",
        "lengths: beside a coding that Connection names", "lengths: that Connection names, beside a coding",
        "lengths: beside a coding, of a GET", "lengths: beside a coding, and a hidden request",
        "upgrades: a length and a coding", "upgrades: h2c with an ambiguous length",
    ),
    "chunk extensions are skipped unread, and blanks go with the size, not with them": (
        "chunks: the size '5 ' with blanks", "chunks: the size '5\\t' with blanks",
        "chunks: the size '5  ' with blanks", "chunks: the extension ' ;a'", "chunks: the extension ' ; a = b'",
        "chunks: the extension '\\t;a'", "chunks: the extension ';a\\rb' is none",
        "chunks: the extension ';a\\r' is none", "chunks: the extension ';a=\"b\\rc\"' is none",
        "chunks: the extension ';a\\x00b' is none", "chunks: the extension ';\\x01' is none",
        "chunks: the extension ';a\\x7f' is none", "chunks: the extension ';' is none",
        "chunks: the extension ';;' is none", "chunks: the extension ';=b' is none",
        "chunks: the extension ';a=' is none", "chunks: the extension ';a=\"b' is none",
        "chunks: the extension ';a b' is none",
    ),
}  # fmt: skip

H11_BY_THE_CUT = (
    "targets: a target above the limit", "trailers: one of 200,000 bytes", "upgrades: a cookie above the limit",
    "limits: 250,000 bytes in one field", "limits: 1,000,000 bytes in one field",
    "limits: a head above the limit, of nobody",
)  # fmt: skip
"""It counts what it holds of an unfinished head or line alone: in one piece they may be larger than its limit."""

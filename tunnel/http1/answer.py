"""Parses the answer to one request: bytes in; heads, body and trailers out.

What RFC 9112 lets a proxy mend is mended: blanks before a colon in a head (section 5.1) are removed, blanks after a
chunk's size skipped. A bare LF is refused, though a recipient may take one for a line's end (section 2.2): a service
that copies a user's line break into a field would let that user write fields, or a whole answer, of his own.

llhttp (httptools) parses heads and chunked bodies. Lengths and ends are handled here, because httptools cannot be
told that the request was HEAD, does not say where an answer ends, and swallows blank lines between answers. Never
calls a sink, never touches a stream. What was parsed waits in `heads`, `body` and `trailers`.

Invariants: no head is longer than `HEAD_LIMIT_BYTES`, and chunk overhead and trailers exceed it by at most the piece
they came with; there are at most `INTERIM_LIMIT` interim answers in one piece and `INTERIM_LIMIT_BYTES` of them
altogether; after `complete` nothing is parsed, and `leftover`
says whether more bytes came.
"""

import re

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from tunnel.errors import BadAnswerError, ServiceBrokeOffError
from tunnel.http1.fields import Fields, read_fields, trailers_passed_on, without_length
from tunnel.port import Headers, ResponseHead

HEAD_LIMIT_BYTES = 64 * 1024
"""Of one head, and of the overhead between two pieces of body: several times what common servers send."""
INTERIM_LIMIT = 32
"""1xx answers in one piece; real services send one or two, and with 102 one every few seconds."""
INTERIM_LIMIT_BYTES = 1024 * 1024
"""Of all of them: a 102 each second for ten hours."""

_HEAD, _LENGTH, _CHUNKED, _UNTIL_END, _TUNNEL = range(5)
_END_OF_HEAD = b"\r\n\r\n"
_FIRST_BYTE = ord("H")
_BLANKS_BEFORE_COLON = re.compile(rb"(?<=\n)([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+(?=:)")
_MENDABLE = re.compile(rb"\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]+(?::|$)")
"""In the part of a head that came; its rest may still bring the colon."""
_FIELD_OVERHEAD_BYTES = 4
"""Colon, blank, CR, LF."""


class Answer:
    """One answer, from its first byte to its last. The `on_` methods are llhttp's."""

    __slots__ = (
        "_before",
        "_chunks",
        "_faulty",
        "_for_head",
        "_for_upgrade",
        "_head_over",
        "_head_parts",
        "_headers",
        "_interim",
        "_interim_bytes",
        "_left",
        "_overhead",
        "_parser",
        "_phase",
        "announces_unsent",
        "body",
        "complete",
        "heads",
        "keep_alive_seconds",
        "leftover",
        "persistent",
        "started",
        "trailers",
    )

    def __init__(self, *, for_head: bool, for_upgrade: bool) -> None:
        self._for_head = for_head
        self._for_upgrade = for_upgrade
        self._phase = _HEAD
        self._parser = _parser(self)
        self._head_over = False
        self._head_parts: list[bytes] = []
        """What came of a head that is not complete."""
        self._faulty = False
        """llhttp refused it; it may be mended once it is complete."""
        self._headers: Headers = []
        self._before = b""
        """The last bytes of earlier pieces: 3 within a head, 5 within chunks."""
        self._overhead = 0
        self._interim = 0
        self._interim_bytes = 0
        self._left = 0
        self._chunks: list[bytes] = []
        self.started = False
        self.heads: list[ResponseHead] = []
        self.body = b""
        self.trailers: Headers = []
        self.complete = False
        self.leftover = False
        self.persistent = False
        """The answer delimits itself, and the service keeps its connection open after it."""
        self.keep_alive_seconds: float | None = None
        self.announces_unsent = False
        """Its fields announce a body that it must not have (HEAD, 304); some services send it all the same, later."""

    def feed(self, data: bytes) -> None:
        """Parse all of `data`, which is never empty. Raises BadAnswerError; do not use the answer after that."""
        self._interim = 0
        while self._phase == _HEAD:
            end = self._feed_head(data)
            if end is None or end == len(data):
                return
            data = data[end:]
        if self.complete:
            self.leftover = True
        elif self._phase == _LENGTH:
            self._left -= len(data)
            if self._left < 0:
                self.leftover = True
                data = data[: self._left]
            self.complete = self._left <= 0
            self.body += data
        elif self._phase == _CHUNKED:
            self._feed_chunks(data)
        else:
            self.body += data

    def feed_end(self) -> None:
        """The stream ended. Raises ServiceBrokeOffError if the answer is incomplete, BadAnswerError if it is wrong."""
        if self._phase in {_UNTIL_END, _TUNNEL}:
            self.complete = True
        elif self._faulty:
            raise BadAnswerError("not HTTP/1.1: a wrong line in a head that did not end")
        elif not self.complete:
            where = "head" if self._phase == _HEAD else "body"
            raise ServiceBrokeOffError(f"the service closed in the middle of its answer's {where}")

    def close(self) -> None:
        """Drop what was not taken, and the parser, which has a reference to this object."""
        del self._parser
        self.heads = []
        self.body = b""
        self.trailers = []

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self.complete:
                self.leftover = True  # llhttp tried to read on
            elif not self._head_over or self._phase != _HEAD:
                raise BadAnswerError(f"not HTTP/1.1: {error}") from None
            # else: the head of a 101, at which llhttp stops in one of two ways

    # --- heads

    def _feed_head(self, data: bytes) -> int | None:
        """Parse up to the end of the head. Returns where in `data` that is; None if it has not come yet."""
        before = self._before
        if not self._overhead:
            self.started = True
            if data[0] != _FIRST_BYTE:  # llhttp would skip blank lines, and take RTSP/ and ICE/
                raise BadAnswerError("the answer does not begin with HTTP/")
            found = data.find(_END_OF_HEAD)
        else:
            found = (before + data).find(_END_OF_HEAD)
        end = found + 4 - len(before) if found >= 0 else None
        self._overhead += len(data) if end is None else end
        if self._overhead > HEAD_LIMIT_BYTES:
            raise BadAnswerError(f"a head of more than {HEAD_LIMIT_BYTES} bytes")
        part = data if end is None else data[:end]
        if not self._faulty:
            self._parse_head(part)
        if end is None:
            self._head_parts.append(part)
            self._before = (before + data)[-3:]
            return None
        if self._faulty:
            self._mend_head(part)
        self._head_parts.clear()
        if not self._head_over:
            raise BadAnswerError("not HTTP/1.1: no end of the head where there must be one")
        self._end_head()
        return end

    def _parse_head(self, part: bytes) -> None:
        """Let llhttp parse a part of a head; what it refuses is `_faulty` if it may be mended."""
        try:
            self._parse(part)
        except BadAnswerError:
            if _MENDABLE.search(b"".join([*self._head_parts, part])) is None:
                raise
            self._faulty = True

    def _mend_head(self, last: bytes) -> None:
        """Parse the complete head again, from its beginning, without the blanks before its colons."""
        self._faulty = self._head_over = False
        self._headers = []
        self._parser = _parser(self)
        self._parse(_BLANKS_BEFORE_COLON.sub(rb"\1", b"".join([*self._head_parts, last])))

    def _end_head(self) -> None:
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"} or status < 100:
            raise BadAnswerError(f"an answer of HTTP/{version} with status {status}")
        headers, self._headers = self._headers, []
        self._before = b""
        size_bytes, self._overhead = self._overhead, 0
        fields = read_fields(headers)
        if fields.chunked and version == "1.0":  # RFC 9112 section 6.1
            raise BadAnswerError("Transfer-Encoding in an answer of HTTP/1.0")
        if status < 200:
            self._end_early_head(status, headers, fields, size_bytes)
            return
        self.persistent = version == "1.1" and not fields.close
        self.keep_alive_seconds = fields.keep_alive_seconds
        if status == 204 and (fields.chunked or fields.length is not None):
            # A 204 has no body: one that comes anyway would be taken for the next answer.
            self.persistent = self.persistent and not fields.chunked and not fields.length
            fields.passed_on = without_length(fields.passed_on)
        self.heads.append(ResponseHead(status, fields.passed_on))
        if self._for_head or status in {204, 304}:
            self._phase = _LENGTH
            self.complete = True
            self.announces_unsent = fields.chunked or bool(fields.length)
        elif fields.chunked:
            self._phase = _CHUNKED
        elif fields.length is not None:
            self._phase = _LENGTH
            self._left = fields.length
            self.complete = not fields.length
        else:
            self._phase = _UNTIL_END
            self.persistent = False

    def _end_early_head(self, status: int, headers: Headers, fields: Fields, size_bytes: int) -> None:
        if fields.chunked or fields.length:
            raise BadAnswerError(f"a {status} that announces a body")
        if status == 101:
            if not self._for_upgrade:
                raise BadAnswerError("a 101 that was not asked for")
            self.heads.append(ResponseHead(101, headers))
            self._phase = _TUNNEL
            return
        self._interim += 1
        if self._interim > INTERIM_LIMIT:
            raise BadAnswerError(f"more than {INTERIM_LIMIT} interim answers at once")
        self._interim_bytes += size_bytes
        if self._interim_bytes > INTERIM_LIMIT_BYTES:
            raise BadAnswerError(f"more than {INTERIM_LIMIT_BYTES} bytes of interim answers")
        self.heads.append(ResponseHead(status, without_length(fields.passed_on)))
        self._head_over = False
        self._parser = _parser(self)

    # --- chunks

    def _feed_chunks(self, data: bytes) -> None:
        self._overhead += len(data)
        self._before = data[-5:] if len(data) >= 5 else (self._before + data)[-5:]
        self._parse(data)
        if self._chunks:
            self.body += b"".join(self._chunks)
            self._chunks.clear()
        if self.complete:
            # llhttp swallows blank lines after the end. The correct end is one empty line.
            if self._before[1:] != _END_OF_HEAD or self._before[:1] in {b"\r", b"\n"}:
                self.leftover = True
            return
        if not self._overhead and self._headers:
            self._overhead = sum([len(name) + len(value) + _FIELD_OVERHEAD_BYTES for name, value in self._headers])
        if self._overhead > HEAD_LIMIT_BYTES:
            raise BadAnswerError(f"more than {HEAD_LIMIT_BYTES} bytes of trailers or chunk extensions")

    # --- told by llhttp

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of a head or of the trailers; llhttp leaves blanks after the value."""
        self._headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head's empty line."""
        if self.complete:
            self.leftover = True
        self._head_over = True

    def on_body(self, data: bytes) -> None:
        """A piece of a chunk."""
        if not self.complete:
            self._chunks.append(data)
            self._overhead = 0

    def on_message_complete(self) -> None:
        """The end of the trailers; where llhttp expects no body, already the end of the head."""
        if self._phase == _CHUNKED and not self.complete:
            self.complete = True
            self.trailers = trailers_passed_on(self._headers)


def _parser(answer: Answer) -> HttpResponseParser:
    """llhttp, strict but for blanks after the size of a chunk."""
    parser = HttpResponseParser(answer)
    parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
    return parser

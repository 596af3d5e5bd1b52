"""Reads an agent's messages about one answer: checks the head, compares the body with its length, sorts error texts.

An agent's head becomes a `ResponseHead` only if no other parser could read it differently. Pure: no I/O, and no state
beyond one answer. Error texts go into errors for the operator's log, shortened and quoted; clients never see them
(tunnel/PROTOCOL.md section 5, "Answers").
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from tunnel.errors import (
    BadAnswerError,
    RequestRefusedError,
    ServiceBrokeOffError,
    TooSlowError,
    TunnelError,
)
from tunnel.gateway.refusals import quoted, unreachable
from tunnel.http1.fields import read_fields, without_length
from tunnel.port import Headers, ResponseHead
from tunnel.wire.messages import MessageError
from tunnel.wire.proxy_messages import header_items

BODY_PIECE_BYTES = 64 * 1024
"""A body that came in one message is passed on in pieces of this size."""

HEAD_LIMIT_BYTES = 128 * 1024
"""Names and values of one answer together, including the separators that a client sees."""

HEAD_JSON_LIMIT_BYTES = 8 * HEAD_LIMIT_BYTES
"""The same as JSON, where one escape takes six characters. Anything longer is not decoded, because decoding it would
delay all other links."""

_SEPARATORS = len(": \r\n")

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_IN_VALUES_NEVER = bytes(byte for byte in range(0x20) if byte != 0x09) + b"\x7f"

_UINT16, _UINT32 = struct.Struct("!H"), struct.Struct("!I")
_TEXT_LIKE = ("text/", "json", "javascript", "xml", "html", "yaml")
_PACKED = ("gzip", "compress", "zip", "image/", "video/", "audio/")


class AnswerHead(msgspec.Struct):
    """An answer's head, as it waits in its exchange's inbox."""

    status: int
    headers: dict[str, list[str] | str] | None = None
    gzipped: bool = False
    """The agent compressed the body for transport; we decompress it."""


class ProxiedAnswer:
    """One HTTP answer on its way to the sink. Every method raises BadAnswerError when the agent broke a rule."""

    def __init__(self, head: AnswerHead, method: bytes, *, upgrade: bool = False) -> None:
        headers = checked_headers(head.headers)
        if not 200 <= head.status <= 599:
            raise BadAnswerError(f"status {head.status} is no final status")
        fields = read_fields(headers)
        if sum(name.lower() == b"content-length" for name, _ in fields.passed_on) > 1:
            raise BadAnswerError("more than one Content-Length")
        self._length = fields.length
        self._bodiless = method == b"HEAD" or head.status in (204, 304)
        if upgrade:  # the agent keeps the body that this length belongs to
            self._length = None
        if upgrade or head.status == 204:
            fields.passed_on = without_length(fields.passed_on)
        self.head = ResponseHead(head.status, fields.passed_on)
        self._received = 0
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if head.gzipped else None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """These bytes of the body, decompressed where needed, in pieces."""
        if self._unpacker is None:
            for at in range(0, len(data), BODY_PIECE_BYTES):
                yield self._counted(data[at : at + BODY_PIECE_BYTES])
            return
        while True:
            try:
                piece = self._unpacker.decompress(data, BODY_PIECE_BYTES)
            except zlib.error:
                raise BadAnswerError("the agent's gzip of the body is broken") from None
            if not piece:
                return
            yield self._counted(piece)
            data = self._unpacker.unconsumed_tail

    def end(self) -> None:
        """The agent says that the body is complete. Raises ServiceBrokeOffError if it is not."""
        if self._unpacker is not None and not self._unpacker.eof and not self._bodiless:
            raise BadAnswerError("the agent's gzip of the body is cut off")
        if self._length is not None and not self._bodiless and self._received < self._length:
            raise ServiceBrokeOffError(f"{self._received} of {self._length} bytes of the answer came")

    def _counted(self, data: bytes) -> bytes:
        self._received += len(data)
        if self._bodiless:
            raise BadAnswerError("a body where the answer has none")
        if self._length is not None and self._received > self._length:
            raise BadAnswerError("more body than Content-Length says")
        return data


def checked_headers(headers: dict[str, list[str] | str] | None) -> Headers:
    """The fields as bytes. Raises BadAnswerError if one is malformed or there are too many."""
    fields: Headers = []
    size = 0
    for name, value in header_items(headers):
        try:
            raw_name, raw_value = name.encode("ascii"), value.strip(" \t").encode()
        except UnicodeEncodeError:
            raise BadAnswerError("a field name or value that cannot be encoded") from None
        if not raw_name or not _TOKEN.issuperset(raw_name):
            raise BadAnswerError("a field name is not a token")
        if len(raw_value.translate(None, _IN_VALUES_NEVER)) != len(raw_value):
            raise BadAnswerError("a field value has control characters")
        size += len(raw_name) + len(raw_value) + _SEPARATORS
        if size > HEAD_LIMIT_BYTES:
            raise BadAnswerError(f"more than {HEAD_LIMIT_BYTES} bytes of fields")
        fields.append((raw_name, raw_value))
    return fields


def decoded_headers(data: bytes | msgspec.Raw) -> dict[str, list[str] | str] | None:
    """The fields of an answer as JSON. Raises MessageError."""
    if len(data) > HEAD_JSON_LIMIT_BYTES:
        raise MessageError(f"{len(data)} bytes of fields, above {HEAD_JSON_LIMIT_BYTES}")
    try:
        return msgspec.json.decode(data, type=dict[str, list[str] | str] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"bad headers in the payload: {error}") from None


def error_of(text: str, *, began: bool) -> TunnelError:
    """The error for an agent's error text (tunnel/PROTOCOL.md section 5, "Answers"). `began`: the answer had begun."""
    said = quoted(text)
    if began:
        return ServiceBrokeOffError(said)
    if text.startswith("service request failed") and "context deadline exceeded" in text:
        return TooSlowError(said)
    if text.startswith(("invalid path", "invalid query string")):
        return RequestRefusedError(said)
    return unreachable(text)


def parse_frame(data: bytes) -> tuple[str, AnswerHead, bytes]:
    """The id, head and body from a binary message with a whole answer. Raises MessageError."""
    try:
        id_end = 2 + _UINT16.unpack_from(data)[0]
        (status,) = _UINT32.unpack_from(data, id_end)
        head_at = id_end + 8
        head_end = head_at + _UINT32.unpack_from(data, id_end + 4)[0]
        if head_end > len(data):
            raise MessageError("a binary answer ends in its headers")
        request_id = data[2:id_end].decode()
    except struct.error:
        raise MessageError("a binary answer is cut off") from None
    except UnicodeDecodeError as error:
        raise MessageError(f"not a binary answer: {error}") from None
    headers = decoded_headers(data[head_at:head_end])
    body = data[head_end:]
    return request_id, AnswerHead(status, headers, _was_gzipped(headers, body)), body


def _was_gzipped(headers: dict[str, list[str] | str] | None, body: bytes) -> bool:
    """Whether the agent compressed the body of a binary answer (tunnel/PROTOCOL.md section 5, "Answers")."""
    if body[:2] != b"\x1f\x8b":
        return False
    values = {name.lower(): value for name, value in header_items(headers)}
    kind = values.get("content-type", "").lower()
    if not any(part in kind for part in _TEXT_LIKE) or any(part in kind for part in _PACKED):
        return False
    length = values.get("content-length")
    if length is not None:
        return length.strip() != str(len(body))
    return "content-encoding" not in values

"""The answers in what a client received: strictly HTTP/1.1, and how much of it is left over."""

import re
from dataclasses import dataclass, field

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2}) [\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_SIZE = re.compile(rb"([0-9A-Fa-f]+)\r\n")


@dataclass
class Answer:
    """One answer, interim or final, and its body as it was on the wire."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class BadWireError(ValueError):
    """What came is no HTTP/1.1 answer."""


class UnfinishedError(Exception):
    """The rest of the answer has not come yet."""


def read_answer(data: bytes, start: int, method: bytes, *, ended: bool) -> tuple[Answer, int]:
    """The answer that begins at `start`, and where it ends. `ended`: no more will come."""
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        raise UnfinishedError
    line, *lines = data[start:end].split(b"\r\n")
    found = _STATUS.fullmatch(line)
    if found is None:
        raise BadWireError(f"status line {line[:100]!r}")
    answer = Answer(int(found[1]), _fields(lines))
    start = end + 4
    if answer.status < 200 or answer.status in {204, 304} or method == b"HEAD":
        return answer, start
    lengths, codings = answer.values(b"content-length"), answer.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise BadWireError(f"framing {lengths!r} {codings!r}")
    if codings:
        end, answer.trailers = _chunks(data, start)
    elif lengths:
        end = start + int(lengths[0])
    elif ended:
        end = len(data)
    else:
        raise UnfinishedError
    if end > len(data):
        raise UnfinishedError
    answer.body = data[start:end]
    return answer, end


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    pairs = [_FIELD.fullmatch(line) for line in lines]
    if None in pairs:
        raise BadWireError(f"a field line of {lines!r}")
    return [(pair[1].lower(), pair[2].rstrip(b" \t")) for pair in pairs if pair is not None]


def _chunks(data: bytes, start: int) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Where they end, and the trailers."""
    while True:
        found = _SIZE.match(data, start)
        if found is None:
            if b"\r\n" in data[start:]:
                raise BadWireError("a chunk of an answer")
            raise UnfinishedError
        start = found.end() + int(found[1], 16) + 2
        if start > len(data) + 2:
            raise UnfinishedError
        if int(found[1], 16) == 0:
            end = data.find(b"\r\n\r\n", found.end() - 2)
            if end < 0:
                raise UnfinishedError
            return end + 4, _fields(data[found.end() : end].split(b"\r\n") if end > found.end() else [])


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The whole frames of a server, each shorter than 126 bytes: opcode and payload (RFC 6455 section 5.2)."""
    frames: list[tuple[int, bytes]] = []
    start = 0
    while len(data) >= start + 2 and len(data) >= start + 2 + (data[start + 1] & 0x7F):
        size = data[start + 1]
        if size > 125:
            raise BadWireError("a long or masked frame")
        frames.append((data[start] & 0x0F, data[start + 2 : start + 2 + size]))
        start += 2 + size
    return frames

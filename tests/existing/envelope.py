"""The JSON envelope of section 2: what is accepted, what is dropped in silence, and how the agent writes its own.

`parse` raises `RefusedError` where the original logs and skips; nobody answers a refused message, and the connection
lives on. Keys are matched in any case, unknown ones are ignored.
"""

import base64
import binascii
import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.existing.golang import now, parse_time

Payload = dict[str, Any]


class RefusedError(Exception):
    """A message that is dropped without an answer; `section` is where the protocol says so."""

    def __init__(self, section: str, reason: str) -> None:
        super().__init__(reason)
        self.section = section


@dataclass(frozen=True)
class Message:
    """One accepted message."""

    type: str
    request_id: str
    payload: Payload


def report(section: str, what: str) -> None:
    """One line for the tests: what was dropped, refused or lost, and by which section."""
    print(f"section {section}: {what}", file=sys.stderr, flush=True)


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _string(value: object, key: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RefusedError("2", f"{key} is not a string")
    return value


def parse(data: bytes) -> Message:
    """The message in a text frame, or in a binary one while yamux is not active."""
    try:
        document = json.loads(data.decode(errors="replace"), parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError("2", f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RefusedError("2", "not a JSON object")
    fields = {key.lower(): value for key, value in document.items()}
    payload = fields.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise RefusedError("2", "payload is not an object")
    timestamp = fields.get("timestamp")
    if timestamp is not None:
        try:
            parse_time(timestamp if isinstance(timestamp, str) else "")
        except ValueError as error:
            raise RefusedError("2", f"timestamp {timestamp!r} is not RFC 3339 with a zone") from error
    return Message(_string(fields.get("type"), "type"), _string(fields.get("request_id"), "request_id"), payload or {})


def encode(kind: str, request_id: str, payload: Payload) -> bytes:
    """A message of the agent's: payload keys sorted, `<>&` escaped, a newline at the end."""
    document: Payload = {"type": kind}
    if request_id:
        document["request_id"] = request_id
    return dumps({**document, "payload": dict(sorted(payload.items())), "timestamp": now()}) + b"\n"


def dumps(document: Payload) -> bytes:
    """Compact JSON as Go's encoder writes it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode(errors="replace")


def decode_base64(text: object) -> bytes:
    """Standard alphabet, with padding; ValueError otherwise (section 2)."""
    if not isinstance(text, str):
        raise ValueError("not a string")  # noqa: TRY004 - it is the data that is wrong
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def encode_base64(data: bytes) -> str:
    """The same alphabet, the other way."""
    return base64.b64encode(data).decode()

"""The one place that says in what a replay may differ from its recording.

* times: `timestamp` of messages and payloads, the `Date` header;
* what is random: the WebSocket key and what is computed from it;
* ports of the test set-up in Go's dial errors;
* gzip: compared by what it unpacks to, since another zlib packs to other bytes.

Texts of Go's errors are not normalised otherwise: the stand-in has to say them.
"""

import base64
import gzip
import json
import re
from typing import Any

_DIALLED = re.compile(r"dial tcp 127\.0\.0\.1:\d+")
_KEY = re.compile(r'("Sec-WebSocket-Key": )"[^"]*"')
_RANDOM_HEADERS = ("Date", "Sec-Websocket-Accept")

Normal = dict[str, Any]


def _headers(headers: dict[str, Any] | None) -> dict[str, Any] | None:
    if headers is None:
        return None
    return {name: values for name, values in headers.items() if name not in _RANDOM_HEADERS}


def message(text: str | bytes) -> Normal:
    """A JSON message without what may differ."""
    document: Normal = json.loads(text)
    assert document.pop("timestamp")
    payload = document["payload"]
    if "timestamp" in payload:
        assert payload.pop("timestamp")
    if "headers" in payload:
        payload["headers"] = _headers(payload["headers"])
    if payload.get("encoding") == "gzip":
        payload["body"] = gzip.decompress(base64.b64decode(payload["body"]))
    if "error" in payload:
        payload["error"] = _DIALLED.sub("dial tcp SERVICE", payload["error"])
    return document


def binary(data: bytes) -> Normal:
    """A binary answer of section 7, taken apart."""
    at = 2 + int.from_bytes(data[:2])
    status, length = int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])
    body = data[at + 8 + length :]
    packed = body.startswith(b"\x1f\x8b")
    return {
        "request_id": data[2:at].decode(),
        "status": status,
        "headers": _headers(json.loads(data[at + 8 : at + 8 + length])),
        "packed": packed,
        "body": gzip.decompress(body) if packed else body,
    }


def note(text: str) -> str:
    """A service's note without the random key."""
    return _KEY.sub(r'\1"KEY"', text)

"""The client's side of the opening handshake (RFC 6455 section 4.1): our fields, and the check of those in a 101.

The request line, `Host` and all other fields are left to HTTP, and extensions to who offers them.
"""

import base64
import hashlib
import os

from tunnel.errors import BadAnswerError
from tunnel.port import Headers

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HandshakeError(BadAnswerError):
    """The 101 does not accept the WebSocket that we asked for. The text names the field."""


def new_key() -> bytes:
    """A fresh `Sec-WebSocket-Key`."""
    return base64.b64encode(os.urandom(16))


def accept_for(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that answers `key`."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def handshake_headers(key: bytes, subprotocols: bytes | None) -> Headers:
    """The request fields of the handshake; `subprotocols` is the offer, separated by commas."""
    headers: Headers = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Key", key),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    if subprotocols:
        headers.append((b"Sec-WebSocket-Protocol", subprotocols))
    return headers


def check_accept(key: bytes, headers: Headers, offered: list[bytes], extensions: bytes = b"") -> bytes | None:
    """Check the fields of a 101. Returns the subprotocol that was chosen from `offered`, or None.

    `extensions`: the value that was offered; what the service makes of their parameters is not looked at. Raises
    HandshakeError where section 4.1 says that the client must fail the connection.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.strip())
    if [value.lower() for value in values.get(b"upgrade", [])] != [b"websocket"]:
        raise HandshakeError("Upgrade of the 101 is not websocket")
    connection = b",".join(values.get(b"connection", [])).lower().split(b",")
    if b"upgrade" not in [token.strip() for token in connection]:
        raise HandshakeError("Connection of the 101 does not name upgrade")
    if values.get(b"sec-websocket-accept") != [accept_for(key)]:
        raise HandshakeError("Sec-WebSocket-Accept does not answer our key")
    agreed = b",".join(values.get(b"sec-websocket-extensions", []))
    if agreed and not _names(agreed) <= _names(extensions):
        raise HandshakeError("Sec-WebSocket-Extensions accepts an extension that was not offered")
    chosen = values.get(b"sec-websocket-protocol", [])
    if not chosen:
        return None
    if len(chosen) > 1 or chosen[0] not in offered:
        raise HandshakeError("Sec-WebSocket-Protocol chooses a protocol that was not offered")
    return chosen[0]


def _names(extensions: bytes) -> set[bytes]:
    """The names in a `Sec-WebSocket-Extensions` (section 9.1)."""
    return {extension.partition(b";")[0].strip().lower() for extension in extensions.split(b",")}

"""Upgrade: WebSocket handshakes, and offers of anything else."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, answered, get, head, opened, post, refused, seen, turned_away

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = b"Sec-WebSocket-Version: 13"
OFFER = (b"Connection: Upgrade", b"Upgrade: websocket")
FAULT = answered(400, 426)
"""No 101. The connection may go on."""


def _asks(*lines: bytes, target: bytes = b"/", host: bytes = HOST) -> bytes:
    return head(b"GET %b HTTP/1.1" % target, b"Host: " + host, *OFFER, KEY, VERSION, *lines)


def _with(*lines: bytes) -> bytes:
    return head(b"GET / HTTP/1.1", b"Host: " + HOST, *lines)


def frame(opcode: int, payload: bytes, mask: bytes = b"\1\2\3\4") -> bytes:
    """A whole frame of a client, shorter than 126 bytes (RFC 6455 section 5.2)."""
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked


TEXT = frame(1, b"early")
ECHOED = (b"early",)

CASES = [
    Case("a handshake", _asks(), opened(), rfc.HANDSHAKE),
    Case("a handshake, then a message", _asks(), opened(messages=ECHOED), rfc.HANDSHAKE, then=TEXT),
    Case("its fields travel", _asks(b"Cookie: a=1", b"Origin: http://%b" % HOST, target=b"/a?b"),
         opened(b"/a?b", fields=((b"cookie", b"a=1"), (b"origin", b"http://" + HOST))), rfc.HANDSHAKE),
    Case("a subprotocol", _asks(b"Sec-WebSocket-Protocol: chat.v1"),
         opened(fields=((b"sec-websocket-protocol", b"chat.v1"),)),
         rfc.HANDSHAKE),
    Case("an unknown extension", _asks(b"Sec-WebSocket-Extensions: x-none"), opened(), rfc.HANDSHAKE),
    *(
        Case(f"{name}", _with(*lines, KEY, VERSION), opened(), rfc.HANDSHAKE_CASE)
        for name, lines in {
            "WebSocket in mixed case": (b"Connection: Upgrade", b"Upgrade: WebSocket"),
            "upgrade in lower case": (b"Connection: upgrade", b"Upgrade: websocket"),
            "UPGRADE in upper case": (b"CONNECTION: UPGRADE", b"UPGRADE: WEBSOCKET"),
            "Upgrade among other options": (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"),
            "Upgrade without blanks": (b"Connection: keep-alive,Upgrade", b"Upgrade: websocket"),
            "Upgrade in a second Connection": (b"Connection: keep-alive", b"Connection: Upgrade",
            b"Upgrade: websocket"),
            "the offer after the options": (b"Upgrade: websocket", b"Connection: Upgrade"),
            "another offer beside it": (b"Connection: Upgrade", b"Upgrade: websocket, h2c"),
            "another offer before it": (b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
            "blanks around": (b"Connection: \tUpgrade ", b"Upgrade: websocket\t"),
        }.items()
    ),
    Case("a key with blanks around", _with(*OFFER, b"Sec-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== ", VERSION),
         opened(), rfc.OWS),
    # Faults of the handshake
    Case("no key", _with(*OFFER, VERSION), FAULT, rfc.HANDSHAKE_FAULT),
    Case("an empty key", _with(*OFFER, b"Sec-WebSocket-Key:", VERSION), FAULT, rfc.HANDSHAKE_KEY),
    Case("a short key", _with(*OFFER, b"Sec-WebSocket-Key: c2hvcnQ=", VERSION), FAULT, rfc.HANDSHAKE_KEY),
    Case("a long key", _with(*OFFER, b"Sec-WebSocket-Key: " + b"YWJj" * 20, VERSION), FAULT, rfc.HANDSHAKE_KEY),
    Case("a key that is not base64", _with(*OFFER, b"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==", VERSION), FAULT,
         rfc.HANDSHAKE_KEY),
    Case("two keys", _asks(KEY), FAULT, rfc.HANDSHAKE_KEY),
    Case("no version", _with(*OFFER, KEY), FAULT, rfc.HANDSHAKE_VERSION),
    Case("version 12", _with(*OFFER, KEY, b"Sec-WebSocket-Version: 12"), FAULT, rfc.HANDSHAKE_VERSION),
    Case("version 14", _with(*OFFER, KEY, b"Sec-WebSocket-Version: 14"), FAULT, rfc.HANDSHAKE_VERSION),
    Case("version 013", _with(*OFFER, KEY, b"Sec-WebSocket-Version: 013"), FAULT, rfc.HANDSHAKE_VERSION),
    Case("two versions", _asks(b"Sec-WebSocket-Version: 12"), FAULT, rfc.HANDSHAKE_VERSION),
    Case("POST", head(b"POST / HTTP/1.1", b"Host: " + HOST, *OFFER, KEY, VERSION, b"Content-Length: 0"),
         answered(200, 400, 405), rfc.HANDSHAKE_FAULT),
    Case("HTTP/1.0", head(b"GET / HTTP/1.0", b"Host: " + HOST, *OFFER, KEY, VERSION), answered(200, 400, 426, 505),
         rfc.UPGRADE_IN_1_0),
    Case("no Host", head(b"GET / HTTP/1.1", *OFFER, KEY, VERSION), BAD, rfc.ONE_HOST),
    Case("two Hosts", _asks(b"Host: " + HOST), BAD, rfc.ONE_HOST),
    Case("a Host with userinfo", _asks(host=b"user@" + HOST), BAD, rfc.USERINFO),
    Case("a Host that is too long", _asks(host=b"a" * 300), BAD, rfc.REG_NAME),
    Case("of nobody", _asks(host=b"nobody.test"), turned_away(404), rfc.HANDSHAKE),
    Case("a target with a fragment", _asks(target=b"/#a"), BAD, rfc.NO_FRAGMENT),
    Case("a target with a NUL", _asks(target=b"/\0"), BAD, rfc.PATH),
    Case("absolute form", _asks(target=b"http://%b/a" % HOST), opened(b"/a"), rfc.ABSOLUTE_FORM),
    Case("absolute form of another host", _asks(target=b"http://other.test/a"), BAD, rfc.ABSOLUTE_AND_HOST),
    Case("a blank before the colon", _asks(b"X : 1"), BAD, rfc.BLANK_BEFORE_COLON),
    Case("a bare LF", _asks(b"X: 1\nY: 2"), BAD, rfc.BARE_LF),
    Case("a fold", _asks(b"X: 1", b" 2"), BAD, rfc.FOLD),
    Case("a length of 0", _asks(b"Content-Length: 0"), opened(), rfc.HANDSHAKE),
    Case("a length and a coding", _asks(b"Content-Length: 5", b"Transfer-Encoding: chunked"), BAD,
         rfc.CODING_AND_LENGTH),
    Case("an invalid length", _asks(b"Content-Length: +1"), BAD, rfc.INVALID_LENGTH),
    Case("a claim of another address", _asks(b"X-Forwarded-For: 9.9.9.9"),
         opened(fields=((b"x-forwarded-for", b"127.0.0.1"),)), rfc.CLAIMS),
    # As large as any other head
    Case("a cookie of 9 KiB", _asks(b"Cookie: " + b"c" * 9_216), opened(fields=((b"cookie", b"c" * 9_216),)),
         rfc.WITHIN_LIMITS),
    Case("a cookie of 12 KiB", _asks(b"Cookie: " + b"c" * 12_288), opened(fields=((b"cookie", b"c" * 12_288),)),
         rfc.WITHIN_LIMITS),
    Case("a cookie of 100 KiB", _asks(b"Cookie: " + b"c" * 102_400), opened(fields=((b"cookie", b"c" * 102_400),)),
         rfc.WITHIN_LIMITS),
    Case("130 fields", _asks(*[b"X: 1"] * 124), opened(fields=((b"x", b"1"),) * 124), rfc.WITHIN_LIMITS),
    Case("256 fields", _asks(*[b"X: 1"] * 251), opened(fields=((b"x", b"1"),) * 251), rfc.WITHIN_LIMITS),
    Case("257 fields", _asks(*[b"X: 1"] * 252), refused(431), rfc.TOO_LARGE),
    Case("a target of 9,000 bytes", _asks(target=b"/" + b"a" * 8_999), opened(b"/" + b"a" * 8_999), rfc.LINE_OF_8000),
    Case("a cookie above the limit", _asks(b"Cookie: " + b"c" * 131_072), refused(431), rfc.TOO_LARGE),
    # Frames in the segment of the handshake
    Case("a message at once", _asks() + TEXT, opened(messages=ECHOED), rfc.EARLY_FRAMES),
    Case("two messages at once", _asks() + TEXT + frame(1, b"more"), opened(messages=(b"early", b"more")),
         rfc.EARLY_FRAMES),
    Case("half a message at once", _asks() + TEXT[:5], opened(messages=ECHOED), rfc.EARLY_FRAMES, then=TEXT[5:]),
    Case("one byte of a message at once", _asks() + TEXT[:1], opened(messages=ECHOED), rfc.EARLY_FRAMES, then=TEXT[1:]),
    Case("ten pings after the 101", _asks(), opened(pongs=10), rfc.PINGS,
         then=b"".join(frame(9, b"%d" % number) for number in range(10))),
    # Offers of anything else are not taken
    Case("h2c",
         get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
         seen(absent=(b"upgrade", b"http2-settings", b"connection")), rfc.UPGRADE_IGNORED),
    Case("h2c with a body", post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=b"hello"),
         seen(b"POST", body=b"hello", absent=(b"upgrade",)), rfc.UPGRADE_IGNORED),
    Case("h2c with a body that looks like a request",
         post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: %d" % len(get()), body=get()),
         seen(b"POST", body=get(), absent=(b"upgrade",)), rfc.UPGRADE_IGNORED),
    Case("h2c with chunks",
         post(b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
         seen(b"POST", body=b"hello", absent=(b"upgrade",)), rfc.UPGRADE_IGNORED),
    Case("h2c, and a request behind it", get(b"Connection: Upgrade", b"Upgrade: h2c") + get(target=b"/b"),
         seen() + seen(target=b"/b"), rfc.UPGRADE_IGNORED),
    Case("h2c with an ambiguous length", post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5",
         b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), BAD, rfc.CODING_AND_LENGTH),
    Case("TLS", get(b"Connection: Upgrade", b"Upgrade: TLS/1.2"), seen(absent=(b"upgrade",)), rfc.UPGRADE_IGNORED),
    Case("a name that has websocket in it", get(b"Connection: Upgrade", b"Upgrade: websocket2"),
         seen(absent=(b"upgrade",)), rfc.UPGRADE_IGNORED),
    Case("Upgrade without the option", get(b"Upgrade: websocket", KEY, VERSION), answered(200, 400, 426),
         rfc.HOP_BY_HOP),
    Case("the option without Upgrade", get(b"Connection: Upgrade", KEY, VERSION), answered(200, 400, 426),
         rfc.HANDSHAKE_FAULT),
    Case("the option without Upgrade, and a request behind it", get(b"Connection: Upgrade") + get(target=b"/b"),
         seen() + seen(target=b"/b"), rfc.UPGRADE_IGNORED),
]  # fmt: skip

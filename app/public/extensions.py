"""Extensions of a WebSocket that will be spliced: its two ends agree on them, and we only look on (RFC 6455 section 9).

They are offered to the service as the client offered them where the bytes will pass as they are, and removed where
messages are carried. permessage-deflate (RFC 7692) is the one that is in use.
"""

from tunnel.port import Headers, RequestHead

from ..rules.policy import Policy
from ..rules.request import Request

_FIELD = b"sec-websocket-extensions"
_DEFLATE = b"permessage-deflate"
_DEFLATE_BITS, _ANY_BITS = 0x40, 0x70


def offered_by(request: Request, policy: Policy) -> bytes:
    """What the client offers and the route passes on; empty if nothing."""
    return b", ".join(request.all(_FIELD)) if policy.websocket_compression == "pass" else b""


def offering(head: RequestHead, offer: bytes) -> RequestHead:
    """The head of a handshake with `offer` added."""
    return RequestHead(head.method, head.target, [*head.headers, (_FIELD, offer)], upgrade=True)


def agreed_in(headers: Headers) -> Headers:
    """What the service's 101 agrees to, for the client's."""
    return [(_FIELD, value) for name, value in headers if value and name.lower() == _FIELD]


def reserved_bits(headers: Headers) -> int:
    """The reserved bits that frames may have after this 101, of 0x70."""
    agreed = b",".join([value for _, value in agreed_in(headers)])
    names = {extension.partition(b";")[0].strip().lower() for extension in agreed.split(b",")} - {b""}
    return 0 if not names else _DEFLATE_BITS if names == {_DEFLATE} else _ANY_BITS

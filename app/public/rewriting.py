"""Does what a route's `Rewrite` says: the request as its service gets it, and the service's answer as its client does.

The client's own request is never changed: limits, origins, stickiness and the log see that one. Fields that name the
address of one side are made to name that of the other; no body is looked at. What a route sets or removes itself comes
after this, and wins.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import structs

from tunnel.port import Headers

from ..rules.addresses import Address, cookie_moved, origin_moved, referer_moved, url_moved
from ..rules.request import Request
from ..rules.rewrite import Rewrite
from .forwarded import asked_host, readdressed

_REFRESH: Final = re.compile(
    rb"([0-9. \t]*[;,][ \t]*(?:url[ \t]*=[ \t]*)?)(?P<quote>['\"]?)([^'\"]*)(?P=quote)", re.IGNORECASE
)
_PORT: Final = re.compile(rb":[0-9]*\Z")
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))

_Move = Callable[[bytes, Address, Address], bytes]
"""What becomes of a value that names the first address, where the second one is known."""


def https_url(request: Request, public_url: str | None) -> bytes:
    """The same by https: at the host that was asked for, which is a routed one, and at the port of `public_url`."""
    url = urlsplit(public_url or "")
    port = f":{url.port}" if url.scheme == "https" and url.port is not None else ""
    host = _PORT.sub(b"", request.host).decode("ascii")
    return f"https://{host}{port}{quote(request.prefix)}{quote(request.target, safe=_VISIBLE)}".encode("ascii")


def request_for_service(rewrite: Rewrite, request: Request) -> Request:
    """The request as its service gets it."""
    public, own = _addresses(rewrite, request)
    fields = _moved(request.fields, _ASKED, public, own)
    path = rewrite.path_of(request)
    asked = path + request.target[len(request.path) :]
    if rewrite.host_header is None:
        return structs.replace(request, path=path, asked=asked, fields=fields, passed=None)
    said = request.forwarding
    return structs.replace(
        request, host=own.authority, path=path, asked=asked, passed=None, peer_scheme=rewrite.scheme,
        fields=[(name, own.authority) if name == b"host" else (name, value) for name, value in fields],
        forwarding=None if said is None else readdressed(said, rewrite.scheme, own.authority),
    )  # fmt: skip


def fields_for_client(rewrite: Rewrite, request: Request, fields: Headers) -> Headers:
    """An answer's fields as the client of `request` gets them."""
    public, own = _addresses(rewrite, request)
    return _moved(fields, _ANSWERED, own, public)


def _addresses(rewrite: Rewrite, request: Request) -> tuple[Address, Address]:
    """Where the client believes the service to be, and where the service does."""
    scheme, asked = request.scheme.encode("ascii"), asked_host(request)
    public = Address(scheme, asked, quote(request.prefix).encode("ascii") + rewrite.strip_prefix)
    if rewrite.host_header is None:
        return public, Address(scheme, asked, rewrite.add_prefix)
    return public, Address(rewrite.scheme.encode("ascii"), rewrite.host_header, rewrite.add_prefix)


def _moved(fields: Headers, moves: Mapping[bytes, _Move], here: Address, there: Address) -> Headers:
    moved: Headers = []
    for field in fields:
        move = moves.get(field[0].lower())
        moved.append(field if move is None else (field[0], move(field[1], here, there)))
    return moved


def _refresh_moved(value: bytes, here: Address, there: Address) -> bytes:
    """`Refresh: 5; url=/x`, as the HTML standard reads it (section 4.2.5.3)."""
    found = _REFRESH.fullmatch(value)
    if found is None:
        return value
    before, mark, url = found.groups()
    return before + mark + url_moved(url, here, there) + mark


def _of_page(move: _Move) -> _Move:
    """For what names the page that asks: one of http is another site than the same by https (RFC 6454 section 5)."""

    def moved(value: bytes, here: Address, there: Address) -> bytes:
        is_other = here.scheme == b"https" and value[:5].lower() == b"http:"
        return value if is_other else move(value, here, there)

    return moved


_ASKED: Final[Mapping[bytes, _Move]] = {
    b"origin": _of_page(origin_moved),
    b"referer": _of_page(referer_moved),
    b"destination": url_moved,  # of MOVE and COPY (RFC 4918 section 10.3)
}
_ANSWERED: Final[Mapping[bytes, _Move]] = {
    b"location": url_moved,
    b"content-location": url_moved,
    b"access-control-allow-origin": origin_moved,
    b"refresh": _refresh_moved,
    b"set-cookie": cookie_moved,
}

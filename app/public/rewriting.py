"""Applies a route's `Rewrite`: the request as its service gets it, and the service's answer as its client gets it.

The client's own request is never changed: limits, origins, stickiness and the log see that one. Fields that name the
address of one side are made to name that of the other; bodies are not looked at. Header fields that a route sets or
removes are applied after this, and win.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import structs

from tunnel.port import Headers

from ..rules.addresses import Address, cookie_moved, names, origin_moved, referer_moved, url_moved
from ..rules.request import Request
from ..rules.rewrite import Rewrite
from .forwarded import asked_host, readdressed

_REFRESH: Final = re.compile(rb"([0-9. \t]*+[;,][ \t]*+(?:url[ \t]*+=[ \t]*+)?+)(['\"]?)([^'\"]*+)\2", re.IGNORECASE)
"""Never gives back what it has read, so that a service cannot make it slow."""
_PORT: Final = re.compile(rb":[0-9]*\Z")
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))

_Move = Callable[[bytes, Address, Address], bytes | None]
"""What becomes of a value that may name the first address, and is to name the second. None: the field goes."""


def https_url(request: Request, public_url: str | None) -> bytes:
    """The same URL by https: at the host that was asked for, which is a routed one, and at the port of `public_url`."""
    url = urlsplit(public_url or "")
    port = f":{url.port}" if url.scheme == "https" and url.port is not None else ""
    host = _PORT.sub(b"", request.host).decode("ascii")
    return f"https://{host}{port}{quote(request.prefix)}{quote(request.target, safe=_VISIBLE)}".encode("ascii")


def request_for_service(rewrite: Rewrite, request: Request) -> Request:
    """The request as its service gets it."""
    if not rewrite.changes_addresses:
        return request
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
    if not rewrite.changes_addresses:
        return fields
    public, own = _addresses(rewrite, request)
    return _moved(fields, _ANSWERED, own, public)


def _addresses(rewrite: Rewrite, request: Request) -> tuple[Address, Address]:
    """The address that the client asked for, and the service's own."""
    scheme, asked = request.scheme.encode("ascii"), asked_host(request)
    public = Address(scheme, asked, quote(request.prefix).encode("ascii") + rewrite.strip_prefix)
    if rewrite.host_header is None:
        return public, Address(scheme, asked, rewrite.add_prefix)
    return public, Address(rewrite.scheme.encode("ascii"), rewrite.host_header, rewrite.add_prefix)


def _moved(fields: Headers, moves: Mapping[bytes, _Move], here: Address, there: Address) -> Headers:
    kept: Headers = []
    for field in fields:
        move = moves.get(field[0].lower())
        if move is None:
            kept.append(field)
        elif (moved := move(field[1], here, there)) is not None:
            kept.append((field[0], moved))
    return kept


def _refresh_moved(value: bytes, here: Address, there: Address) -> bytes:
    """`Refresh: 5; url=/x`, as the HTML standard reads it (section 4.2.5.3)."""
    found = _REFRESH.fullmatch(value)
    if found is None:
        return value
    before, mark, url = found.groups()
    return before + mark + url_moved(url, here, there) + mark


def _origin_of_page(origin: bytes, public: Address, own: Address) -> bytes:
    """`null` for a page that is really at the service's own address (on the client's machine): it is foreign here."""
    if _is_page_of(origin, public):
        return origin_moved(origin, public, own)
    return b"null" if _may_be_taken_for(origin, public, own) else origin


def _referer_of_page(url: bytes, public: Address, own: Address) -> bytes | None:
    """The same for the page's URL, which is removed for such a page."""
    if _is_page_of(url, public):
        return referer_moved(url, public, own)
    return None if _may_be_taken_for(url, public, own) else url


def _is_page_of(url: bytes, public: Address) -> bool:
    """Whether a page is of the public address. One of http is another site than that of https (RFC 6454 section 5)."""
    return names(url, public) and not (public.scheme == b"https" and url[:5].lower() == b"http:")


def _may_be_taken_for(url: bytes, public: Address, own: Address) -> bool:
    """Whether the service would take a page of this URL for its own, which it is not."""
    return (public.scheme, public.authority) != (own.scheme, own.authority) and names(url, own)


_ASKED: Final[Mapping[bytes, _Move]] = {
    b"origin": _origin_of_page,
    b"referer": _referer_of_page,
    b"destination": url_moved,  # of MOVE and COPY (RFC 4918 section 10.3)
}
_ANSWERED: Final[Mapping[bytes, _Move]] = {
    b"location": url_moved,
    b"content-location": url_moved,
    b"access-control-allow-origin": origin_moved,
    b"refresh": _refresh_moved,
    b"set-cookie": cookie_moved,
}

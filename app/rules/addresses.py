"""Two addresses of one service, the public one and its own: makes texts that name the one name the other.

Texts that name neither, or that cannot be read, stay as they are. Nothing made here begins with two slashes: a browser
would take what follows them for a host.
"""

import re
from typing import Final, NamedTuple

_URL: Final = re.compile(rb"(?:(?P<scheme>https?):)?//(?P<authority>[^/?#\\]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
_PORT: Final = re.compile(rb":[0-9]*\Z")
_HOST_ONLY: Final = b"__host-"


class Address(NamedTuple):
    """Where a service is, for one side."""

    scheme: bytes
    """`http` or `https`."""
    authority: bytes
    """Host, and port where there is one."""
    base: bytes = b""
    """What all its paths begin with, without a slash at its end."""


def names(url: bytes, address: Address) -> bool:
    """Whether a URL or an origin is of this address, whatever its scheme."""
    found = _URL.fullmatch(url)
    return found is not None and _is_of(found, address)


def origin_moved(origin: bytes, here: Address, there: Address) -> bytes:
    """An origin (RFC 6454 section 6.2) of `here` as one of `there`; another one as it is."""
    found = _URL.fullmatch(origin)
    if found is None or found["scheme"] is None or found["rest"] or not _is_of(found, here):
        return origin
    return _head(found, here, there)


def url_moved(url: bytes, here: Address, there: Address) -> bytes:
    """A URL or an absolute path (RFC 3986 section 4.2) of `here` as one of `there`; another one as it is."""
    found = _URL.fullmatch(url)
    if found is None:
        moved = path_moved(url, here.base, there.base) if url.startswith(b"/") else None
        return url if moved is None else moved
    if not _is_of(found, here):
        return url
    moved = path_moved(found["rest"], here.base, there.base)
    return url if moved is None else _head(found, here, there) + moved


def referer_moved(url: bytes, here: Address, there: Address) -> bytes:
    """The same for the page that a request comes from. A page outside the base is cut to its origin."""
    found = _URL.fullmatch(url)
    if found is None or not _is_of(found, here):
        return url
    moved = path_moved(found["rest"], here.base, there.base)
    return _head(found, here, there) + (there.base + b"/" if moved is None else moved)


def path_moved(path: bytes, here: bytes, there: bytes) -> bytes | None:
    """A path, with what follows it, below the base `there` in place of `here`. None: it is not below `here`.

    If the base is removed and nothing replaces it, several slashes after it become one.

    >>> path_moved(b"/app/x?y", b"/app", b"/base"), path_moved(b"/app", b"/app", b"")
    (b'/base/x?y', b'/')
    """
    if here == there:
        return path
    if path[:1] != b"/":
        path = b"/" + path
    rest = path[len(here) :]
    if not path.startswith(here) or rest[:1] not in (b"", b"/", b"?", b"#"):
        return None
    return there + rest if there else b"/" + rest.lstrip(b"/\\\t")


def cookie_moved(cookie: bytes, here: Address, there: Address) -> bytes:
    """A Set-Cookie (RFC 6265 section 4.1) of `here` for `there`: its path moves, and its domain goes if it is `here`.

    Without a domain the cookie is for the host that it came from. A `__Host-` one keeps its path: browsers insist on /.
    """
    pair, *attributes = cookie.split(b";")
    if not attributes:
        return cookie
    keeps_path = here.base == there.base or pair.lstrip()[: len(_HOST_ONLY)].lower() == _HOST_ONLY
    domain = None if _names(here.authority, here.scheme, there) else _PORT.sub(b"", here.authority).lower()
    kept = [pair]
    for attribute in attributes:
        key, equals, value = attribute.partition(b"=")
        match key.strip().lower():
            case b"domain" if value.strip().lower().removeprefix(b".") == domain:
                pass
            case b"path" if not keeps_path:
                kept.append(key + equals + _cookie_path(value.strip(), here.base, there.base))
            case _:
                kept.append(attribute)
    return b";".join(kept)


def _cookie_path(path: bytes, here: bytes, there: bytes) -> bytes:
    """A path that is above the base stands for all below it."""
    if path == b"/" or (path and path[:1] == b"/" and (here + b"/").startswith(path + b"/")):
        return there or b"/"
    moved = path_moved(path, here, there) if path[:1] == b"/" else None
    return path if moved is None else moved


def _is_of(found: re.Match[bytes], address: Address) -> bool:
    return _names(found["authority"], (found["scheme"] or address.scheme).lower(), address)


def _names(authority: bytes, scheme: bytes, address: Address) -> bool:
    """Whether an authority is that of the address, whatever the schemes. `scheme`: the one beside `authority`."""
    return _bare(authority, scheme) == _bare(address.authority, address.scheme)


def _head(found: re.Match[bytes], here: Address, there: Address) -> bytes:
    """What comes before the path of the moved URL. Where the host is the same one, what was written stays."""
    if here[:2] == there[:2]:
        return found.string[: found.start("rest")]
    return (b"//" if found["scheme"] is None else there.scheme + b"://") + there.authority


def _bare(authority: bytes, scheme: bytes) -> bytes:
    """In lower case, without the scheme's default port."""
    return authority.lower().removesuffix(_DEFAULT_PORTS[scheme])

"""Reads a `Request` from an ASGI scope. No other module knows which fact a scope keeps where."""

from urllib.parse import quote, unquote_to_bytes

from ..public.reading import read_request
from ..rules.hosts import HOST_CHARACTERS, HOST_FIELD_BYTES, normalise_host
from ..rules.proxies import Proxies
from ..rules.request import Request
from .types import Scope


def read_scope(scope: Scope, proxies: Proxies | None) -> Request:
    """The request of an `http` or `websocket` scope. `proxies`: those whose word about their clients we take."""
    client = scope.get("client")
    peer, prefix = client[0] if client else "unknown", scope.get("root_path", "")
    path, query = raw_path_of(scope), scope.get("query_string", b"")
    fields, scheme = scope["headers"], scope["scheme"]
    if scope["type"] == "http":
        return read_request(scope["method"], path, query, fields, peer, scheme, proxies, prefix=prefix)
    scheme = scheme.replace("ws", "http", 1)
    subprotocols = tuple(scope.get("subprotocols", ()))
    return read_request("GET", path, query, fields, peer, scheme, proxies, subprotocols, True, prefix)


def host_of(scope: Scope) -> bytes:
    """The first Host field as sent; empty if there is none. Used to choose a route before the request is read."""
    for name, value in scope["headers"]:
        if name == b"host":
            host: bytes = value
            return host
    return b""


def raw_path_of(scope: Scope) -> bytes:
    """The path as received, without the prefix under which we are mounted.

    This is `raw_path`; if the server does not give that (the ASGI specification makes it optional), `path` re-encoded.
    """
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        raw = quote(path, safe="/:@!$&'()*+,;=~-._").encode()
    if b"?" in raw:
        raw = raw.partition(b"?")[0]
    prefix: str = scope.get("root_path", "")
    if prefix:
        # The prefix is decoded text and the path is not, so compare the same number of segments.
        segments = raw.split(b"/")
        depth = prefix.count("/") + 1
        if unquote_to_bytes(b"/".join(segments[:depth])) == prefix.encode():
            raw = b"".join(b"/" + segment for segment in segments[depth:])
    return raw or b"/"


def refusal_of(scope: Scope) -> str:
    """Why this is answered with 400 before anything looks at its host: it is too long. Empty where nothing is wrong."""
    host = host_of(scope)
    if len(host) <= HOST_CHARACTERS:
        return ""
    if len(host) <= HOST_FIELD_BYTES and len(normalise_host(host.decode("latin-1"))) <= HOST_CHARACTERS:
        return ""
    return f"the host is longer than {HOST_CHARACTERS} characters"

"""How a door makes its `Request`: the parts it parsed, and the facts that follow from them, worked out once."""

from tunnel.port import Headers

from ..observed.request_id import new_request_id, request_id_of
from ..rules.request import Request
from ..rules.shape import Shape, shape_of
from .forwarded import Networks, client_facts


def read_request(
    method: str, path: bytes, query: bytes, fields: Headers, peer: str, peer_scheme: str, proxies: Networks,
    subprotocols: tuple[str, ...] = (), is_websocket: bool = False, prefix: str = "",
) -> Request:  # fmt: skip
    """Make a request from its parts. `proxies`: the networks whose forwarding headers we trust."""
    names, values = zip(*fields, strict=True) if fields else ((), ())
    return made_request(
        method, path, query, fields, values, shape_of(names), peer, peer_scheme, proxies, subprotocols, is_websocket,
        prefix,
    )  # fmt: skip


def made_request(
    method: str, path: bytes, query: bytes, fields: Headers, values: tuple[bytes, ...], shape: Shape, peer: str,
    peer_scheme: str, proxies: Networks, subprotocols: tuple[str, ...] = (), is_websocket: bool = False,
    prefix: str = "", asked: bytes = b"", is_checked: bool = False,
) -> Request:  # fmt: skip
    """The same, where the door has the values and the shape of the fields, and the target as it came."""
    host_at = shape.host_at
    if proxies:
        client, scheme, trusted = client_facts(peer, peer_scheme, fields, proxies)
        request_id = request_id_of(fields, trusted)
    else:
        client, scheme, trusted, request_id = peer, peer_scheme, False, new_request_id()
    return Request(
        method, b"" if host_at is None else values[host_at], path, query, shape.hosts,
        b",".join([values[at] for at in shape.connections]) if shape.connections else b"",
        b",".join([values[at] for at in shape.upgrades]) if shape.upgrades else b"",
        fields, values, shape, peer, peer_scheme, client, scheme, trusted, request_id, subprotocols, is_websocket,
        prefix, asked, is_checked,
    )  # fmt: skip

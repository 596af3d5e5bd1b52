"""How a door makes its `Request`: the parts it parsed, and the facts that follow from them, worked out once."""

from tunnel.port import Headers

from ..observed.request_id import made as request_ids
from ..observed.request_id import new_request_id, request_id_of
from ..rules.fields import Fields, facts_of
from ..rules.proxies import Proxies
from ..rules.request import Request
from ..rules.shape import shape_of
from .forwarded import settle


def read_request(
    method: str, path: bytes, query: bytes, fields: Headers, peer: str, peer_scheme: str, proxies: Proxies | None,
    subprotocols: tuple[str, ...] = (), is_websocket: bool = False, prefix: str = "",
) -> Request:  # fmt: skip
    """Make a request from its parts. `proxies`: those whose word about their clients we take."""
    names, values = zip(*fields, strict=True) if fields else ((), ())
    facts = facts_of(shape_of(names), values, is_checked=False)
    return made_request(
        method, path, query, Fields(fields, *facts), peer, peer_scheme, proxies, subprotocols, is_websocket, prefix
    )


def made_request(
    method: str, path: bytes, query: bytes, fields: Fields, peer: str, peer_scheme: str, proxies: Proxies | None,
    subprotocols: tuple[str, ...] = (), is_websocket: bool = False, prefix: str = "", asked: bytes = b"",
    is_checked: bool = False,
) -> Request:  # fmt: skip
    """The same, where the door knows what the fields say, and has the target as it came."""
    client, scheme, forwarding = peer, peer_scheme, None
    if proxies is not None and (facts := settle(peer, peer_scheme, fields.host, fields.lines, proxies)) is not None:
        client, scheme, forwarding = facts
        request_id = request_id_of(fields.lines, True)
    else:
        request_id = request_ids.pop() if request_ids else new_request_id()
    return Request(
        method, fields.host, path, query, fields.hosts, fields.connection, fields.upgrade, fields.lines, fields.passed,
        fields.length, peer, peer_scheme, client, scheme, forwarding, request_id, subprotocols, is_websocket, prefix,
        asked, is_checked, fields.trace_id,
    )  # fmt: skip

"""How a door makes its `Request`: the parts it parsed, and the facts that follow from them, worked out once."""

from tunnel.port import Headers

from ..observed.request_id import request_id_of
from ..rules.request import Request
from .forwarded import Networks, client_facts


def read_request(
    *, method: str, path: bytes, query: bytes, fields: Headers, peer: str, peer_scheme: str, proxies: Networks,
    subprotocols: tuple[str, ...] = (), is_websocket: bool = False, prefix: str = "",
) -> Request:  # fmt: skip
    """Make a request from its parts. `proxies`: the networks whose forwarding headers we trust."""
    client, scheme, trusted = client_facts(peer, peer_scheme, fields, proxies)
    hosts: list[bytes] = []
    connection: list[bytes] = []
    upgrade: list[bytes] = []
    for name, value in fields:
        if name == b"host":
            hosts.append(value)
        elif name == b"connection":
            connection.append(value)
        elif name == b"upgrade":
            upgrade.append(value)
    return Request(
        method, hosts[0] if hosts else b"", path, query, len(hosts), b",".join(connection), b",".join(upgrade),
        fields, peer, peer_scheme, client, scheme, trusted, request_id_of(fields, trusted), subprotocols,
        is_websocket, prefix,
    )  # fmt: skip

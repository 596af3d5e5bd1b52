"""The door on a stream: requests of a peer node for a link of ours that speaks `json` or `chunk`, without policy.

A yamux link is spliced to the peer's stream as it is. These dialects carry exchanges and no bytes, so the owner of the
link reads the requests from the stream with this door's own parser, opens their exchanges, and writes the answers. The
peer sees the service's HTTP/1.1, as on a yamux link. Everything that a client is subject to is the peer's: forwarding
fields, cookies, pages, records, limits, origins and deadlines. The bounds of a head are this door's own
(`server/heads.py`), and hold for it with the fields that the peer has added.

| file | what it is |
|---|---|
| `door.py` | `BareDoor`: takes streams, and is the `Reception` of their connections |
| `transport.py` | a stream as the transport of a connection; gives credit back |
| `connection.py` | `server/connection.py` on a stream: the answer byte, resets in place of clean ends, no deadlines |
| `call.py`, `websocket.py` | one request with its answer; one handshake, and the frames after it |
"""

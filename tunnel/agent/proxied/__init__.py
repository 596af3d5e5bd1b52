"""Exchanges that come as messages, the `json` and `chunk` dialects: the agent speaks HTTP/1.1 and RFC 6455 itself.

`table` takes the gateway's messages of one link, an exchange serves each request, `queue` holds what waits to leave.
Nothing here knows the link's WebSocket.
"""

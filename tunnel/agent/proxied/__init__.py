"""The `json` and `chunk` dialects: exchanges come as messages, and the agent speaks HTTP/1.1 and RFC 6455 itself.

`carrier` takes the gateway's messages of one link, an exchange serves each request, `send_queue` holds what waits to
leave. Nothing here knows the link's WebSocket.
"""

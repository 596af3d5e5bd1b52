"""Requests as a gateway tells them."""

from tunnel.wire.publishing import RequestRow


def row(path="/x", **more):
    values = {
        "id": "r-1", "at": "2026-11-29T09:52:39.123Z", "kind": "http", "method": "GET", "host": "me.example.com",
        "path": path, "status": 200, "outcome": "ok", "seconds": 0.012, "bytes_up": 0, "bytes_down": 0,
        "client": "203.0.113.7", "key": "5173",
    }  # fmt: skip
    return RequestRow(**{**values, **more})

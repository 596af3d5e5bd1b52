"""The ASGI door: a request's scope becomes a call, and what comes back goes out through `send`. Mounts anywhere."""

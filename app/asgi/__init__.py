"""The ASGI door: turns a scope into a call and sends the answer through `send`. Mounts anywhere."""

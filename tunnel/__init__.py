"""Carries HTTP exchanges and WebSockets through an agent's one outgoing WebSocket.

Knows links, streams and dialects; never clients: nothing here imports `app`, starlette or uvicorn.
"""

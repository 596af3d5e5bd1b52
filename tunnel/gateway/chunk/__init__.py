"""The chunk dialect: WebSockets in the original requirement's messages, for agents that were built from it."""

from tunnel.gateway.chunk.carrier import ChunkCarrier

__all__ = ["ChunkCarrier"]

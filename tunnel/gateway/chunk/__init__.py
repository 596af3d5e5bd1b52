"""The chunk dialect: the requirement's own messages for WebSockets, for an agent that was built by it."""

from tunnel.gateway.chunk.carrier import ChunkCarrier

__all__ = ["ChunkCarrier"]

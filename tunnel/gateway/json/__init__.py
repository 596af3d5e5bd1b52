"""The json dialect: the existing agent's messages for HTTP and WebSockets, for agents without yamux."""

from tunnel.gateway.json.carrier import JsonCarrier

__all__ = ["JsonCarrier"]

"""The yamux dialect: every exchange is a raw TCP connection to the service, and we speak HTTP/1.1 over it."""

from tunnel.dialects.yamux.carrier import YamuxCarrier
from tunnel.dialects.yamux.stream import YamuxStream
from tunnel.dialects.yamux.upstream import YamuxUpstream

__all__ = ["YamuxCarrier", "YamuxStream", "YamuxUpstream"]

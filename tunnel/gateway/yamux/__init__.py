"""The yamux dialect: each exchange has a raw TCP connection to its service, and we speak HTTP/1.1 over it."""

from tunnel.gateway.yamux.carrier import YamuxCarrier
from tunnel.gateway.yamux.stream import YamuxStream
from tunnel.gateway.yamux.streams import Streams
from tunnel.gateway.yamux.upstream import PooledUpstream, YamuxUpstream

__all__ = ["PooledUpstream", "Streams", "YamuxCarrier", "YamuxStream", "YamuxUpstream"]

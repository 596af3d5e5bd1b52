"""An HTTP/1.1 client over any byte stream, one exchange at a time, and a pool of idle connections.

Push-style and synchronous: no asyncio, no sockets, and the clock is passed in.
"""

from tunnel.http1.connection import HttpConnection
from tunnel.http1.exchange import StreamExchange
from tunnel.http1.pool import Pool
from tunnel.http1.request import REPEATABLE, BodyLengthError, UnsendableHeadError, is_repeatable, target_fault
from tunnel.http1.whole import WholeReader

__all__ = [
    "REPEATABLE",
    "BodyLengthError",
    "HttpConnection",
    "Pool",
    "StreamExchange",
    "UnsendableHeadError",
    "WholeReader",
    "is_repeatable",
    "target_fault",
]

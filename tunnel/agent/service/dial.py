"""Connects to a service: resolves its name, checks every address, and connects to one of them.

Never connects by name: the address that was checked is dialled, so that a name cannot change its meaning in between.
A service that refuses is waited for (`outages`). Invariant: everything together ends within the limit.
"""

import asyncio
import errno
import os
import socket
from functools import partial

from tunnel.agent.service.services import THIS_MACHINE, Destination, Services, address_of
from tunnel.wire import refusals

_LOOPBACK = ["127.0.0.1", "::1"]
"""What `localhost` means, whatever a resolver says (RFC 6761 section 6.3). Servers that are told to listen on
`localhost` often take one of them only, and not all the same one."""
_NO_SUCH_NAME = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}


class DialError(Exception):
    """No connection; the text is for logs, and `kind` is one of `tunnel.wire.refusals`."""

    def __init__(self, text: str, kind: str = refusals.OTHER) -> None:
        super().__init__(text)
        self.kind = kind


async def connect(
    protocol: asyncio.BaseProtocol, destination: Destination, services: Services, limit_seconds: float
) -> None:
    """Connect `protocol` to `destination`. Raises DialError or NotReachableError."""
    try:
        async with asyncio.timeout(limit_seconds):
            await services.outages.dial(destination, partial(_attempt, protocol, destination, services, limit_seconds))
    except TimeoutError:
        msg = f"no connection within {limit_seconds:g} s"
        raise DialError(msg, refusals.SLOW) from None
    except ConnectionRefusedError:
        raise DialError("connection refused", refusals.REFUSED) from None
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME:
            raise DialError("no such host", refusals.NO_SUCH_NAME) from None
        raise DialError(getattr(error, "strerror", None) or str(error)) from None


async def _attempt(
    protocol: asyncio.BaseProtocol, destination: Destination, services: Services, limit_seconds: float
) -> None:
    """Resolve, check and connect, once: a name may mean other addresses by the next attempt."""
    # The trailing dot: the name is complete, and the resolver tries no search domain of whoever set them.
    addresses = await _addresses_of(f"{destination.host}." if destination.by_pattern else destination.host)
    forbidden = frozenset(
        [address_of(found) or found for name in services.api_names for found in await _addresses_of(name)]
    )
    for address in addresses:
        services.check_resolved(destination, address, forbidden)
    await _connect_to_one(asyncio.get_running_loop(), protocol, addresses, destination.port, limit_seconds)


async def _addresses_of(host: str) -> list[str]:
    """The addresses of a name in the resolver's order, each once; a literal stands for itself."""
    literal = address_of(host)
    if literal is not None:
        return [host]
    if host.lower() == THIS_MACHINE:
        return _LOOPBACK
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _connect_to_one(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.BaseProtocol,
    addresses: list[str],
    port: int,
    limit_seconds: float,
) -> None:
    """Connect to the first address that answers; each has its share of the time.

    Raises ConnectionRefusedError if one of them refused and none answered, for the service may be about to listen
    there; also where it closed its port between the two halves of a handshake.
    """
    refused = False
    for address in addresses[:-1]:
        try:
            async with asyncio.timeout(limit_seconds / len(addresses)):
                await loop.create_connection(lambda: protocol, address, port)
        except (ConnectionRefusedError, ConnectionResetError):
            refused = True
        except (OSError, TimeoutError):
            pass
        else:
            return
    try:
        await loop.create_connection(lambda: protocol, addresses[-1], port)
    except ConnectionResetError:  # nothing was sent, so it is a refusal like others
        raise _refused() from None
    except OSError as error:
        if refused:
            raise _refused() from error
        raise


def _refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

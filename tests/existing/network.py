"""TCP and TLS to whatever the agent dials, with the texts that Go gives its failures.

Nothing is verified, as the original verifies no service's certificate. Every writer waits until the kernel has
taken all: what the original's blocking writes wait for, these wait for.
"""

import asyncio
import contextlib
import socket
import ssl

from tests.existing.options import Address


class DialError(Exception):
    """A connection that could not be made; the text is Go's."""


def unverified() -> ssl.SSLContext:
    """TLS to a service: encrypted, not verified (section 5, `scheme`)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def connect(
    address: Address, *, tls: bool = False, send_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams to `address`; raises DialError."""
    host, port = address
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio sends small messages at once, as Go does.
    connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    connection.setblocking(False)
    try:
        if send_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        await asyncio.get_running_loop().sock_connect(connection, address)
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=unverified() if tls else None, server_hostname=host if tls else None
        )
    except ConnectionRefusedError as error:
        connection.close()
        raise DialError(f"dial tcp {where}: connect: connection refused") from error
    except ssl.SSLError as error:
        connection.close()
        raise DialError("tls: first record does not look like a TLS handshake") from error
    except OSError as error:
        connection.close()
        raise DialError(f"dial tcp {where}: {error.strerror or error}") from error
    except BaseException:
        connection.close()
        raise
    writer.transport.set_write_buffer_limits(0)
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """The connection's end, whatever state it is in."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()

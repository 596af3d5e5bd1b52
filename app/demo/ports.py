"""Which port the demonstration is served at, and who has the one that it would rather have.

A browser takes `chat.localhost` for 127.0.0.1 or ::1, so a port is free only if nobody has it on either. Another
demonstration is recognised by what its index answers. Two that start at the same moment are kept apart by a UDP socket
of the same number, which a demonstration holds for as long as it runs: the system gives it to one of them only, and
takes it back whatever happens.
"""

import asyncio
import errno
import socket
from dataclasses import dataclass

import msgspec

from .probe import NoAnswerError, ask

WANTED = 8080
INDEX_HOST = "demo.localhost"
SIGN = "tunnel-gateway"
"""What the index of a demonstration answers as `demo` at /demo.json."""
_NEXT = range(WANTED + 1, WANTED + 20)
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 1.0
_FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class NoPortError(Exception):
    """There is no port for the demonstration; the text says so."""


class _Sign(msgspec.Struct):
    """What is read of /demo.json."""

    demo: str
    url: str


@dataclass(frozen=True)
class Taken:
    """Who has a port, as far as it can be known."""

    port: int
    address: str
    """Where it was found in use."""
    demo_url: str = ""
    """The page of another demonstration; empty: it is another program."""

    def __str__(self) -> str:
        if self.demo_url:
            return f"another demo is running: {self.demo_url}"
        return f"port {self.port} is in use on {self.address} by another program"


@dataclass(frozen=True)
class Choice:
    """A port, held against other demonstrations, and who has the one that was wanted."""

    port: int
    hold: socket.socket
    taken: Taken | None = None


async def choose(wanted: int = WANTED) -> Choice:
    """`wanted` if it is free on both address families, else another port. Raises NoPortError."""
    taken: Taken | None = None
    for port in (wanted, *_NEXT, 0, 0, 0):
        hold = _hold(port)
        if hold is None:
            found: Taken | None = await _identified(port, "127.0.0.1")
        else:
            port = hold.getsockname()[1]  # noqa: PLW2901  (the system chose one for 0)
            found = await who_has(port)
            if found is None:
                return Choice(port, hold, taken)
            hold.close()
        taken = taken or found
    raise NoPortError(f"ports {wanted} to {_NEXT[-1]} are in use, and the system has no other")


async def who_has(port: int) -> Taken | None:
    """Who has a port on either address family; None: nobody."""
    for family, address in _FAMILIES:
        if await _accepts(family, address, port) or not _may_bind(family, address, port):
            return await _identified(port, address)
    return None


def listening() -> socket.socket:
    """A listening socket on 127.0.0.1, on a free port, for a process to inherit. It listens while that is restarted."""
    return socket.create_server(("127.0.0.1", 0))


def unused() -> int:
    """A port of 127.0.0.1 for a program that can only be told a number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _hold(port: int) -> socket.socket | None:
    """None: somebody has it."""
    hold = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        hold.bind(("127.0.0.1", port))
    except OSError:
        hold.close()
        return None
    return hold


async def _accepts(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        probe = socket.socket(family)
    except OSError:
        return False
    with probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(probe, (address, port))
        except TimeoutError:
            return True  # it listens, and its backlog is full
        except OSError:
            return False
    return True


def _may_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    """Whether a server could listen there; true as well if this machine does not have the address at all."""
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            probe.bind((address, port))
    except OSError as error:
        return error.errno in _NO_SUCH_ADDRESS
    return True


async def _identified(port: int, address: str) -> Taken:
    try:
        answer = await ask(address, port, INDEX_HOST, "/demo.json", seconds=_ANSWER_SECONDS)
        sign = msgspec.json.decode(answer.body, type=_Sign)
    except (NoAnswerError, msgspec.DecodeError):
        return Taken(port, address)
    return Taken(port, address, sign.url if answer.status == 200 and sign.demo == SIGN else "")

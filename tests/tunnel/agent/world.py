"""What stands around an agent under test: services of several temperaments, and the agent itself."""

import asyncio
import contextlib

from tests.fakes.gateway import SECONDS
from tunnel.account import Account
from tunnel.agent.control import Identity
from tunnel.agent.gateways import GatewayAddress
from tunnel.agent.keeper import Access, Keeper
from tunnel.agent.link import Terms
from tunnel.agent.log import Quota
from tunnel.agent.service.services import ServiceEntry, Services


class Service:
    """A TCP service: `serve(reader, writer)` for each connection; `lost` is told how a connection ended."""

    def __init__(self, serve):
        self._serve = serve
        self.connections = 0
        self.failures = asyncio.Queue()
        self._server = None
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def failure(self):
        """How the next connection ended: None in order, or the exception."""
        async with asyncio.timeout(SECONDS):
            return await self.failures.get()

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.connections += 1
        failure = None
        try:
            await self._serve(reader, writer)
        except OSError as error:
            failure = error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.failures.put_nowait(failure)


async def echo(reader, writer):
    """Says what it hears, until its peer ends."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


def to(service, name="echo"):
    """The `--service` value that makes it reachable."""
    return [f"{name}.apps:80=127.0.0.1:{service.port}"]


async def service_is_well(link):
    """Whether the link carries a stream to an echoing service."""
    stream = link.open(first=b"fine")
    assert await stream.read(4) == b"fine"


class AgentUnderTest:
    """A keeper with its terms, in this process."""

    def __init__(
        self,
        gateway,
        services=(),
        allow=(),
        *,
        ping=10.0,
        dead=15.0,
        dial=5.0,
        api_hosts=(),
        tls=None,
        dialect="yamux",
    ):
        self.tokens = ["t-1"]
        self.account = Account()
        self.ready = []
        entries = tuple(ServiceEntry.parse(text) for text in services)
        self.terms = Terms(
            identity=Identity("agent-1", "c1", "host-1", "test"),
            services=Services(entries, tuple(allow), "localhost", api_hosts),
            account=self.account,
            quota=Quota(),
            ping_seconds=ping,
            dead_seconds=dead,
            dial_seconds=dial,
            dialect=dialect,
        )
        self.keeper = Keeper(
            GatewayAddress(gateway.url, gateway.url, gateway.url),
            Access(lambda: self.tokens[-1], tls),
            self.terms,
            lambda _gateway, link: self.ready.append(link),
        )
        self.task = None

    async def __aenter__(self):
        self.task = asyncio.create_task(self.keeper.run())
        return self

    async def __aexit__(self, *exception):
        self.keeper.close()
        async with asyncio.timeout(SECONDS):
            await self.task

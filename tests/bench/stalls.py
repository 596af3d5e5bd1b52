"""How long one event holds up the event loop: the longest turn, in CPU time, when much has to be done at once.

`python -m tests.bench stalls`. Each row is a gateway of `python -m app` in a process of its own, as in
`tests/bench/offline.py`: its entrance, settings, log and protocol classes, between fake transports, on asyncio's own
loop and the real clock. Nothing may take longer than `MUST_MILLISECONDS` in a row: nobody else is served meanwhile.
"""

import asyncio
import dataclasses
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.far_ends import TOKEN, Caller, ManyAgent, StayingClient
from tests.bench.offline import HOST
from tests.bench.table import Table
from tests.bench.turns import Longest, TurnLoop
from tests.fakes.asgi import WebSocket

MUST_MILLISECONDS = 5.0
WEBSOCKETS = 10_000
LEARNED = 10_000
"""As many as a cluster may have."""
ROUTES = 5_000
SECONDS = 120.0
"""After which a row has failed."""

_SYNC = "/api/v1/gateway/routes/sync"
_ROUTE = '[[routes]]\nhost = "{}"\ncluster = "c1"\nnamespace = "apps"\nservice = "web"\nport = {}\n\n'


class World:
    """One gateway, started as `serve` starts it."""

    def __init__(self, server: Any, file: Path) -> None:
        self.server = server
        self.file = file
        self.gateway: Any = server._gateway
        self.loop: Any = asyncio.get_running_loop()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110  (of many things, none of which has an event)
                await asyncio.sleep(0.01)

    async def agent(self, *, yamux: bool) -> ManyAgent:
        """An agent that serves."""
        agent = ManyAgent(self.server, "198.51.100.7", yamux=yamux)
        await agent.register()
        await self.until(lambda: bool(self.gateway.registry.links()))
        return agent

    async def clients(self) -> list[StayingClient]:
        """All WebSockets, through the server's own protocol classes."""
        clients = []
        for _ in range(WEBSOCKETS):
            clients.append(StayingClient(self.server, "203.0.113.9"))
            await clients[-1].join()
        return clients

    async def sync(self, hosts: int) -> None:
        """The cluster of the agent routes so many hosts, and no others."""
        await self.call(sync_body(hosts), hosts)

    async def call(self, body: bytes, hosts: int) -> None:
        answer = await Caller(self.server, "198.51.100.7").post(_SYNC, body)
        if not answer.startswith(b"HTTP/1.1 200") or f'"accepted":{hosts},'.encode() not in answer:
            raise AssertionError(f"the sync was answered with {answer[:500]!r}")


def sync_body(hosts: int) -> bytes:
    """An ingress for each host, as the existing agent names them."""
    path = {"path": "/", "path_type": "Prefix", "service_name": "traefik", "service_port": 80}
    rules = [{"host": f"h{number}.in.example.test", "tls": True, "paths": [path]} for number in range(hosts)]
    named = [
        {"namespace": "apps", "ingress_name": f"i{number}", "annotations": {"a": "b" * 100}, "rules": [rule]}
        for number, rule in enumerate(rules)
    ]
    return json.dumps({"cluster_uuid": "c1", "ingresses": named}).encode()


def write_configuration(file: Path, *, routes: int, port: int) -> None:
    """One agent, `routes` routes, and a folder for what is learned."""
    agent = f'[[agents]]\ntoken = "{TOKEN}"\nclusters = ["c1"]\nhosts = ["*.in.example.test"]\n\n'
    hosts = [HOST, *(f"r{number}.example.test" for number in range(1, routes))]
    text = f'state_dir = "{file.parent / "state"}"\n\n' + agent + "".join(_ROUTE.format(host, port) for host in hosts)
    file.write_text(text, encoding="utf-8")


# --- the rows


async def lose(world: World, *, yamux: bool) -> Longest:
    agent = await world.agent(yamux=yamux)
    clients = await world.clients()
    gc.collect()
    with world.loop.measuring() as longest:
        agent.close()
        await world.until(lambda: not world.gateway.exchanges)
        await world.until(lambda: not world.server.server_state.connections)
    if {client.closed_with for client in clients} != {1012}:
        raise AssertionError("not every client was told")
    return longest


async def lose_yamux(world: World) -> Longest:
    return await lose(world, yamux=True)


async def lose_json(world: World) -> Longest:
    return await lose(world, yamux=False)


async def lose_under_asgi(world: World) -> Longest:
    agent = await world.agent(yamux=True)
    calls = []
    for _ in range(WEBSOCKETS):
        call = WebSocket(world.server.config.app, "/ws").start()
        calls.append(call)
        while call.accepted is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    gc.collect()
    with world.loop.measuring() as longest:
        agent.close()
        await world.until(lambda: not world.gateway.exchanges and all(call.is_over for call in calls))
    if {call.closed and call.closed[0] for call in calls} != {1012}:
        raise AssertionError("not every client was told")
    return longest


async def drain(world: World) -> Longest:
    await world.agent(yamux=True)
    await world.clients()
    gc.collect()
    with world.loop.measuring() as longest:
        await world.gateway.begin_drain()
    return longest


async def sync_new(world: World) -> Longest:
    body = sync_body(LEARNED)
    with world.loop.measuring() as longest:
        await world.call(body, LEARNED)
    return longest


async def sync_again(world: World) -> Longest:
    await world.sync(LEARNED)
    return await sync_new(world)


async def sync_away(world: World) -> Longest:
    await world.sync(LEARNED)
    body = sync_body(1)
    with world.loop.measuring() as longest:
        await world.call(body, 1)
    return longest


async def reload(world: World) -> Longest:
    """With as many learned routes as there may be, all of which get another policy."""
    await world.sync(LEARNED)
    reloader = world.server._reloader
    with world.loop.measuring() as longest:
        for number in (1, 2):
            await asyncio.to_thread(write_configuration, world.file, routes=ROUTES, port=80 + number)
            await world.until(lambda number=number: reloader.applied == number)  # type: ignore[misc]
        await world.until(lambda: not world.gateway.learned._served._stale)
    return longest


async def leap(world: World) -> Longest:
    """The system's clock is set while there are learned routes."""
    await world.sync(LEARNED)
    learned = world.gateway.learned
    await world.until(lambda: learned._lifetimes._ahead is not None)  # the clock was looked at
    clock, leap_seconds = learned._clock, 7200.0
    first, *_, last = learned._hosts.values()
    expires_at = first.paths["/"].expires_at + leap_seconds - 60.0
    with world.loop.measuring() as longest:
        learned._clock = learned._lifetimes._clock = lambda: clock() + leap_seconds
        await world.until(lambda: last.paths["/"].expires_at > expires_at and first.paths["/"].expires_at > expires_at)
        await world.until(lambda: not learned._store.behind)
    return longest


ROWS: dict[str, tuple[str, Callable[[World], Awaitable[Longest]]]] = {
    "yamux": (f"losing a yamux link with {WEBSOCKETS:,} WebSockets", lose_yamux),
    "json": (f"losing a json link with {WEBSOCKETS:,} WebSockets", lose_json),
    "asgi": (f"losing a yamux link with {WEBSOCKETS:,} WebSockets of ASGI calls", lose_under_asgi),
    "drain": (f"draining with {WEBSOCKETS:,} WebSockets", drain),
    "sync": (f"a sync of {LEARNED:,} new routes", sync_new),
    "again": ("the same sync again", sync_again),
    "away": (f"a sync that removes {LEARNED - 1:,} routes", sync_away),
    "reload": (f"a reload of {ROUTES:,} routes, with {LEARNED:,} learned ones", reload),
    "leap": (f"the clock is set, with {LEARNED:,} learned routes", leap),
}


# --- the process of a row


@asynccontextmanager
async def started(server: Any) -> AsyncIterator[None]:
    """All that a server starts, but no sockets."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    server.servers = []
    await server.lifespan.startup()
    with server.capture_signals():
        server._collector.start()
        yield
        server._collector.stop()
    await server.lifespan.shutdown()


def main(row: str) -> None:
    """Run one row, and print what was longest as JSON."""
    import uvicorn

    from app.__main__ import main as serve

    with tempfile.TemporaryDirectory(prefix="tunnel-bench-") as folder:
        file = Path(folder) / "gateway.toml"
        write_configuration(file, routes=1, port=80)

        async def measure(server: Any) -> None:
            async with started(server):
                longest = await ROWS[row][1](World(server, file))
            print(json.dumps(dataclasses.asdict(longest)), flush=True)

        def run(server: Any, sockets: object = None) -> None:
            with asyncio.Runner(loop_factory=TurnLoop) as runner:
                runner.run(measure(server))
            server.started = True

        uvicorn.Server.run = run  # type: ignore[method-assign]
        serve(["serve", "--config", str(file)])


def measured(row: str) -> Longest:
    """One row, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.stalls", row]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return Longest(**json.loads(done.stdout.splitlines()[-1]))


def run() -> list[Table]:
    rows = []
    for row, (title, _) in ROWS.items():
        longest = measured(row)
        rows.append(
            [title, f"{longest.turn:.1f}", f"{MUST_MILLISECONDS:.0f}", f"{longest.callback:.1f}",
             f"{longest.collection:.1f}", str(longest.turns)]
        )  # fmt: skip
    return [
        Table(
            "The longest turn of the loop, in milliseconds of CPU",
            ["", "turn", "must", "one callback", "a collection of garbage, apart", "turns"],
            rows,
            "the longest turn of a sync is one pass over its body of 3.3 MB: one call, which nothing divides",
        )
    ]


if __name__ == "__main__":
    main(sys.argv[1])

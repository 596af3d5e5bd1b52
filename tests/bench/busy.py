"""Clients that ask without a pause, in a process of their own: `python -m tests.bench.busy ADDRESS PORT HOST COUNT`.

So a benchmark that measures others beside them does not wait for them itself. Prints a line once all are connected, and
goes on until its standard input ends.
"""

import asyncio
import sys

import uvloop

from tests.bench.load import finish_requests, start_requests


async def run(address: str, port: int, host: str, count: int) -> None:
    requesters = await start_requests((address, port), host, "/small?n=1", connections=count)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for requester, _ in requesters:
        requester.stop()
    await finish_requests(requesters)


if __name__ == "__main__":
    name, number, public, connections = sys.argv[1:]
    uvloop.run(run(name, int(number), public, int(connections)))

"""A service that closes its connection after each answer without saying so: `python -m tests.services.closing`.

uWSGI's `--http` does so. Prints one line `ready PORT`; with `--port` it listens there, so that it can be started again.
Each request must name itself, `/ID`: its line goes to the file `--ledger` before it is answered, so that a killed
service, too, has told what it carried out. `--keep` keeps connections open as others do. With `--on-signal` it prints
`waiting`, and listens once it gets SIGUSR1: what takes its place is there in time, however busy the machine.
"""

import argparse
import asyncio
import os
import signal

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Closing:
    """Answers one request after the other, and writes each into the ledger."""

    def __init__(self, ledger: str, *, keep: bool) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._keep = keep

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                await reader.readexactly(length)
                method, target, _ = head.split(b" ", 2)
                os.write(self._ledger, b"%b %b\n" % (method, target))
                writer.write(ANSWER)
                if not self._keep:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--on-signal", action="store_true")
    options = parser.parse_args()
    if options.on_signal:
        called = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, called.set)
        print("waiting", flush=True)
        await called.wait()
    service = Closing(options.ledger, keep=options.keep)
    server = await asyncio.start_server(service.serve, "127.0.0.1", options.port, backlog=1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""An event loop whose look-ups of names each have a thread of their own, that nobody waits for.

asyncio's share a few threads with each other, and the end of `asyncio.run` waits for them: names whose server does not
answer would delay all others, and the end of the program. Applies to the look-ups of libraries too. As many threads run
as look-ups are asked for: whoever asks bounds them.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tunnel.override import override

Value = TypeVar("Value")


def run(program: Coroutine[Any, Any, Value]) -> Value:
    """As `asyncio.run`, on such a loop."""
    with asyncio.Runner(loop_factory=LookupLoop) as runner:
        return runner.run(program)


class LookupLoop(asyncio.SelectorEventLoop):
    """See the module."""

    @override
    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        found: Future[Any] = Future()

        def look_up() -> None:
            try:
                found.set_result(socket.getaddrinfo(host, port, family, type, proto, flags))
            except Exception as error:  # noqa: BLE001 (whoever asked gets it)
                found.set_exception(error)

        found.set_running_or_notify_cancel()  # what nobody waits for any more has a result all the same
        threading.Thread(target=look_up, name=f"look-up of {host}", daemon=True).start()
        return await asyncio.wrap_future(found, loop=self)

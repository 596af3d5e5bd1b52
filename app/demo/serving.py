"""How the demonstration's own applications are served: by uvicorn, on a listening socket that they inherit.

The socket stays with the demonstration: while an application is started again, its clients wait. They are not refused.
"""

import socket
from typing import Any

import uvicorn

_GRACE_SECONDS = 1
"""For what still runs after SIGTERM: a stream of events never ends by itself."""


async def serve(app: Any, descriptor: int) -> None:  # noqa: ANN401  (any ASGI application; uvicorn takes the same)
    """Serve until SIGTERM."""
    listening = socket.socket(fileno=descriptor)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS)
    await uvicorn.Server(config).serve(sockets=[listening])

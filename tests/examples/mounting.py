"""The gateway inside an application of your own: `uvicorn mounting:app`, with GATEWAY_CONFIG=gateway.toml.

Your routes come first; every other path, and every WebSocket, is the gateway's.
"""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from app.main import create_app

gateway = create_app()


async def hello(_: Request) -> Response:
    """A route of your own."""
    return PlainTextResponse("hello\n")


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Nothing to do at the start: the gateway opens on first use."""
    yield
    await gateway.state.gateway.aclose()


app = Starlette(routes=[Route("/hello", hello), Mount("/", gateway)], lifespan=lifespan)

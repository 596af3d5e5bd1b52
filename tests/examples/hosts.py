"""Applications that hold a gateway in every documented way: `uvicorn --factory tests.examples.hosts:make`.

MOUNT_AS says how: framework, place and who runs the gateway's lifespan, as in `fastapi /prefix host`. Each has two
routes of its own: `POST /host/aclose` ends the gateway, and `GET /host/left` says what of it is left in the process.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import CoroutineType
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route

from app.main import create_app
from app.settings import load

ROOT = Path(__file__).parents[2]
OURS = (str(ROOT / "app"), str(ROOT / "tunnel"))


def frames(task: "asyncio.Task[Any]") -> Iterator[str]:
    """The files of the coroutines that a task is in."""
    inner: Any = task.get_coro()
    while isinstance(inner, CoroutineType):
        yield inner.cr_code.co_filename
        inner = inner.cr_await


def left() -> dict[str, list[str]]:
    """What runs in this process on behalf of a gateway; the loop is asyncio's own."""
    loop: Any = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    timers = [handle._callback for handle in loop._scheduled if not handle.cancelled()]
    return {
        "tasks": [repr(task) for task in tasks if any(name.startswith(OURS) for name in frames(task))],
        "timers": [repr(call) for call in timers if (call.__module__ or "").split(".")[0] in ("app", "tunnel")],
        "descriptors": sorted(filter(None, map(descriptor, Path("/proc/self/fd").iterdir()))),
    }


def descriptor(link: Path) -> str:
    """What a descriptor is; "" for one that has been closed meanwhile."""
    with contextlib.suppress(OSError):
        return str(link.readlink()).partition(":")[0]
    return ""


def make() -> Starlette:
    """The application that MOUNT_AS asks for."""
    framework, place, who = os.environ["MOUNT_AS"].split()
    inner = [create_app(load(path)) for path in os.environ["MOUNT_CONFIGS"].split(":")]

    async def aclose(_: Request) -> Response:
        for one in inner:
            await one.state.gateway.aclose()
        return JSONResponse(left())

    async def what_is_left(_: Request) -> Response:
        return JSONResponse(left())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for one in inner:
                if who == "host":
                    await stack.enter_async_context(one.router.lifespan_context(one))
                elif who == "aclose":
                    stack.push_async_callback(one.state.gateway.aclose)
            yield

    own: list[BaseRoute] = [
        Route("/host/aclose", aclose, methods=["POST"]),
        Route("/host/left", what_is_left),
    ]
    if framework == "fastapi":
        app: Starlette = FastAPI(lifespan=lifespan, routes=own)
    else:
        app = Starlette(routes=own, lifespan=lifespan)
    match place:
        case "root":
            app.mount("/", inner[0])
        case "host":
            app.router.routes += [Host("{name}.example.test", inner[0]), Host("localhost", inner[0])]
        case "both":
            app.router.routes += [Mount("/one", inner[0]), Mount("/two", inner[1])]
        case prefix:
            app.mount(prefix, inner[0])
    return app

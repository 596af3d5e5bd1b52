"""`uvicorn app.main:app`: routes of the project first; every other path, and every WebSocket, is the gateway's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from tunnel_gateway.main import create_app
from tunnel_gateway.settings import Settings, load

from app.greetings import greeting
from app.settings import NAME

settings: Settings = load()
gateway = create_app(settings)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The gateway opens on first use."""
    yield
    await gateway.state.gateway.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello() -> dict[str, str]:
    """A route of the project's own."""
    return {"said": greeting(NAME)}


app.mount("/", gateway)

"""A chat on Socket.IO (python-socketio, unmodified): the demonstration's application, as a service in a cluster.

It knows nothing of the tunnel. The page speaks Socket.IO 5 over a WebSocket in a few lines of its own, so that no
script from elsewhere is needed; any Socket.IO client may join, by WebSocket or by polling.
"""

import asyncio
import sys
import time

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Chat through the tunnel</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:5vh auto;padding:0 1em}
#log{border:1px solid #8884;border-radius:6px;height:45vh;overflow:auto;padding:.5em 1em;margin:1em 0}
#state{font-variant-numeric:tabular-nums;color:#666}input{font:inherit;width:75%;padding:.3em}button{font:inherit;padding:.3em 1em}
</style>
<h1>Chat through the tunnel</h1>
<p>This page and its WebSocket come from a service that only the agent can reach. Open it twice and talk to yourself.</p>
<p id="state">connecting ...</p>
<div id="log"></div>
<form id="form"><input id="text" autocomplete="off" placeholder="Say something" autofocus> <button>Send</button></form>
<script>
const state = document.getElementById("state"), log = document.getElementById("log"), text = document.getElementById("text");
let socket;
const say = line => { const p = document.createElement("div"); p.textContent = line; log.append(p); log.scrollTop = 1e9; };
function connect() {
  socket = new WebSocket(location.origin.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket");
  socket.onopen = () => socket.send("40");                       // Socket.IO CONNECT to the default namespace
  socket.onclose = event => { state.textContent = `closed (${event.code} ${event.reason}), trying again ...`; setTimeout(connect, 1000); };
  socket.onmessage = ({data}) => {
    if (data === "2") socket.send("3");                          // Engine.IO ping, pong
    else if (data.startsWith("42")) {
      const [name, value] = JSON.parse(data.slice(2));
      if (name === "clock") state.textContent = `connected; the service's clock says ${value.time}, ${value.people} here`;
      if (name === "said") say(value);
    }
  };
}
document.getElementById("form").onsubmit = event => {
  event.preventDefault();
  if (text.value) socket.send("42" + JSON.stringify(["say", text.value]));
  text.value = "";
};
connect();
</script></html>
"""


class Chat:
    """The application's state: who is here."""

    def __init__(self) -> None:
        self.server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])
        self.people: set[str] = set()
        self.server.on("connect", self.connect)
        self.server.on("disconnect", self.disconnect)
        self.server.on("say", self.say)

    async def connect(self, sid: str, _environ: dict[str, object]) -> None:
        """Somebody came."""
        self.people.add(sid)
        await self.server.emit("said", f"{sid[:4]} is here")

    async def disconnect(self, sid: str, *_reason: object) -> None:
        """Somebody left."""
        self.people.discard(sid)
        await self.server.emit("said", f"{sid[:4]} left")

    async def say(self, sid: str, text: object) -> str:
        """Tell everybody; the acknowledgement goes to the sender."""
        await self.server.emit("said", f"{sid[:4]}: {str(text)[:500]}")
        return "heard"

    async def clock(self) -> None:
        """Push the time, once a second."""
        while True:
            await self.server.emit("clock", {"time": time.strftime("%H:%M:%S"), "people": len(self.people)})
            await asyncio.sleep(1)


async def _page(_: Request) -> HTMLResponse:
    return HTMLResponse(_PAGE)


async def _serve(port: int) -> None:
    chat = Chat()
    pages = Starlette(routes=[Route("/", _page)])
    app = socketio.ASGIApp(chat.server, other_asgi_app=pages)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    clock = asyncio.create_task(chat.clock())
    try:
        await server.serve()
    finally:
        clock.cancel()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))

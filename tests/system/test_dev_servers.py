"""Development servers that serve only the address they know, published with `host_header` and no setting of their own.

Each is also reached by a route that keeps the public host, to show what stands against it. `docs/dev-servers.md` says
the same in a table.
"""

import json
import re
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.system import dev_servers
from tests.system.clients import Answer, RawClient, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Service, Stack
from tests.system.process import Processes

pytestmark = [pytest.mark.anyio, tunnel_only]

KEPT = "kept"
EVIL = "http://evil.test"


def published(folder: Path, processes: Processes, name: str, port: int) -> Stack:
    """The server at NAME.example.test with its own address, and at kept.example.test with the public one."""
    stack = Stack(folder, processes)
    stack.add(Service(name, port, route={"host_header": f"localhost:{port}"}))
    stack.add(Service(KEPT, port))
    return stack.start()


def asked(stack: Stack, name: str, path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> Answer:
    """The answer to a browser's request at this public name."""
    host = f"{name}.example.test:{stack.port}"
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    with RawClient(stack.address(name)) as client:
        client.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        return client.answer()


def origin(stack: Stack, name: str) -> str:
    return f"http://{name}.example.test:{stack.port}"


# --- Vite


async def test_vite(tmp_path: Path, processes: Processes) -> None:
    """Its pages, and its hot reloading."""
    work, port = dev_servers.start_vite(processes, tmp_path)
    stack = published(tmp_path, processes, "vite", port)
    assert asked(stack, KEPT).status == 403  # this host is not allowed
    assert b"/main.js" in asked(stack, "vite").body
    client = asked(stack, "vite", "/@vite/client").body.decode()
    found = re.search(r'wsToken = "([^"]+)"', client)
    assert found is not None
    url = stack.url("vite", f"/?token={found[1]}", "ws")
    asked(stack, "vite", "/main.js")  # what nobody loaded is not watched
    async with websocket(url, subprotocols=["vite-hmr"], origin=origin(stack, "vite")) as socket:
        assert json.loads(await socket.recv()) == {"type": "connected"}
        (work / "main.js").write_text("import.meta.hot.accept(); // changed\n")
        update = json.loads(await socket.recv())
        assert (update["type"], update["updates"][0]["path"]) == ("update", "/main.js")
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(url, subprotocols=["vite-hmr"], origin=EVIL):
            pass
    assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(stack.url(KEPT, f"/?token={found[1]}", "ws"), subprotocols=["vite-hmr"]):
            pass
    assert refused.value.response.status_code == 400


@pytest.mark.slow
def test_vite_below_a_path(tmp_path: Path, processes: Processes) -> None:
    """It writes its `base` into its pages, and is asked below it: nothing is stripped."""
    _, port = dev_servers.start_vite(processes, tmp_path, "--base", "/base/")
    stack = Stack(tmp_path, processes)
    stack.add(Service("vite", port, path="/base", route={"host_header": f"localhost:{port}"}))
    stack.start()
    assert b'"/base/main.js"' in asked(stack, "vite", "/base/").body
    assert asked(stack, "vite", "/base/main.js").status == 200


# --- Django


def test_django(tmp_path: Path, processes: Processes) -> None:
    """Its host check, its check of forms' origins, and the absolute redirect after one."""
    stack = published(tmp_path, processes, "django", dev_servers.start_django(processes))
    assert asked(stack, KEPT, "/form").status == 400  # DisallowedHost

    page = asked(stack, "django", "/form")
    assert page.status == 200
    token, cookie = page.body.decode(), page.one("set-cookie").partition(";")[0]

    def posted(from_origin: str) -> Answer:
        fields = (f"Cookie: {cookie}", f"X-CSRFToken: {token}", f"Origin: {from_origin}")
        return asked(stack, "django", "/form", *fields, method="POST")

    saved = posted(origin(stack, "django"))
    assert (saved.status, saved.one("location")) == (302, f"{origin(stack, 'django')}/saved")
    assert posted(EVIL).status == 403
    port = stack.services["django"].port
    assert posted(f"http://localhost:{port}").status == 403  # a page on the client's own machine


# --- webpack-dev-server


@pytest.mark.slow
async def test_webpack(tmp_path: Path, processes: Processes) -> None:
    port = dev_servers.start_webpack(processes, tmp_path)
    stack = published(tmp_path, processes, "webpack", port)
    refused = asked(stack, KEPT, "/main.js")
    assert (refused.status, refused.body) == (403, b"Invalid Host header")
    assert asked(stack, "webpack", "/main.js").status == 200
    async with websocket(stack.url("webpack", "/ws", "ws"), origin=origin(stack, "webpack")) as socket:
        assert json.loads(await socket.recv()) == {"type": "hot"}
    with pytest.raises(InvalidStatus):
        async with websocket(stack.url("webpack", "/ws", "ws"), origin=EVIL):
            pass


# --- Next.js


@pytest.mark.slow
async def test_next(tmp_path: Path, processes: Processes) -> None:
    """Its development resources, its hot reloading, and a server action."""
    port = dev_servers.start_next(processes, tmp_path)
    stack = published(tmp_path, processes, "next", port)
    assert asked(stack, KEPT).status == 200
    page = asked(stack, "next")
    action = re.search(r'name="(\$ACTION_ID_[^"]+)"', page.body.decode())
    assert action is not None
    script = re.search(r'src="(/_next/static/chunks/[^"]+\.js)[^"]*"', page.body.decode())
    assert script is not None
    assert asked(stack, "next", script[1], f"Origin: {origin(stack, 'next')}").status == 200
    assert asked(stack, KEPT, script[1], f"Origin: {origin(stack, KEPT)}").status == 403
    async with websocket(stack.url("next", "/_next/hmr?id=x", "ws"), origin=origin(stack, "next")) as socket:
        assert await socket.recv()
    with pytest.raises(InvalidStatus):
        async with websocket(stack.url(KEPT, "/_next/hmr?id=x", "ws"), origin=origin(stack, KEPT)):
            pass

    def acted(from_origin: str, name: str = "next") -> Answer:
        part = f'--x\r\nContent-Disposition: form-data; name="{action[1]}"\r\n\r\n\r\n--x--\r\n'
        fields = ("Content-Type: multipart/form-data; boundary=x", f"Origin: {from_origin}")
        return asked(stack, name, "/", *fields, method="POST", body=part.encode())

    saved = acted(origin(stack, "next"))
    assert (saved.status, saved.one("location")) == (303, "/saved")
    assert acted(EVIL).status == 500
    assert acted(origin(stack, KEPT), KEPT).status == 303  # it compares with X-Forwarded-Host

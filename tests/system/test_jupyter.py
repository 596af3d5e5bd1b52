"""Jupyter Server: a kernel by REST, executions over its binary subprotocol, and a terminal."""

import itertools
import json
import struct
import uuid
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection

from tests.system.applications import start_jupyter
from tests.system.clients import http_client, websocket
from tests.system.harness import Service, Stack
from tests.system.process import Processes

pytestmark = pytest.mark.anyio

TOKEN = "token-of-the-notebook"
AUTHORIZATION = {"Authorization": f"token {TOKEN}"}
SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
EXECUTIONS = 50
LARGE_BYTES = 5_000_000


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("jupyter")
    port = start_jupyter(module_processes, folder / "data", TOKEN)
    stack = Stack(folder, module_processes)
    stack.add(Service("jupyter", port))
    return stack.start()


def encode(channel: str, kind: str, content: dict[str, Any]) -> tuple[str, bytes]:
    """One message of the v1 subprotocol, and its id: offsets, then channel, header, parent, metadata, content."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": kind, "username": "", "session": "tests", "version": "5.3"}
    parts = [channel.encode(), *(json.dumps(part).encode() for part in (header, {}, {}, content))]
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return header["msg_id"], struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def decode(data: bytes) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Channel, header, parent header and content."""
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    parts = [data[start:end] for start, end in itertools.pairwise(offsets)]
    return parts[0].decode(), json.loads(parts[1]), json.loads(parts[2]), json.loads(parts[4])


async def execute(kernel: ClientConnection, code: str) -> str:
    """Run `code`; what it printed, once the reply came and the kernel is idle again."""
    message_id, message = encode("shell", "execute_request", {"code": code, "silent": False})
    await kernel.send(message)
    printed, replied, idle = "", False, False
    while not (replied and idle):
        data = await kernel.recv()
        assert isinstance(data, bytes)
        _, header, parent, content = decode(data)
        if parent.get("msg_id") != message_id:
            continue
        match header["msg_type"]:
            case "stream":
                printed += content["text"]
            case "execute_reply":
                assert content["status"] == "ok", content
                replied = True
            case "status":
                idle = content["execution_state"] == "idle"
    return printed


async def start_kernel(stack: Stack, http: aiohttp.ClientSession) -> str:
    async with http.post(stack.url("jupyter", "/api/kernels"), json={"name": "python3"}) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["id"])


async def test_50_executions_in_a_kernel_started_by_rest(stack: Stack) -> None:
    async with http_client(headers=AUTHORIZATION) as http:
        kernel_id = await start_kernel(stack, http)
        url = stack.url("jupyter", f"/api/kernels/{kernel_id}/channels?session_id=tests", "ws")
        origin = stack.url("jupyter", "")
        async with websocket(
            url, subprotocols=[SUBPROTOCOL], additional_headers=AUTHORIZATION, origin=origin
        ) as kernel:
            assert kernel.subprotocol == SUBPROTOCOL
            for number in range(EXECUTIONS):
                assert await execute(kernel, f"print({number} ** 2)") == f"{number**2}\n"
            large = await execute(kernel, f"print('x' * {LARGE_BYTES})")
            assert large == "x" * LARGE_BYTES + "\n"
        async with http.delete(stack.url("jupyter", f"/api/kernels/{kernel_id}")) as answer:
            assert answer.status == 204


async def test_a_terminal_runs_a_command(stack: Stack) -> None:
    async with http_client(headers=AUTHORIZATION) as http:
        async with http.post(stack.url("jupyter", "/api/terminals")) as answer:
            assert answer.status == 200, await answer.text()
            name = (await answer.json())["name"]
        url = stack.url("jupyter", f"/terminals/websocket/{name}", "ws")
        async with websocket(url, additional_headers=AUTHORIZATION) as terminal:
            assert json.loads(await terminal.recv())[0] == "setup"
            await terminal.send(json.dumps(["stdin", "expr 6 '*' 7000\r"]))
            printed = ""
            while "42000" not in printed:
                kind, *texts = json.loads(await terminal.recv())
                assert kind == "stdout", (kind, texts)
                printed += texts[0]
        async with http.delete(stack.url("jupyter", f"/api/terminals/{name}")) as answer:
            assert answer.status == 204


async def test_a_websocket_without_token_is_refused_by_jupyter_itself(stack: Stack) -> None:
    from websockets.exceptions import InvalidStatus

    async with http_client(headers=AUTHORIZATION) as http:
        kernel_id = await start_kernel(stack, http)
        with pytest.raises(InvalidStatus) as refused:
            async with websocket(stack.url("jupyter", f"/api/kernels/{kernel_id}/channels", "ws")):
                pass
        assert refused.value.response.status_code == 403
        async with http.delete(stack.url("jupyter", f"/api/kernels/{kernel_id}")) as answer:
            assert answer.status == 204

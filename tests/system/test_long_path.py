"""One stream over a path of 50 ms: the receiver's window grows beyond what it begins with, and every byte comes.

What is counted is what the receiver granted. How fast it is depends on the machine, and is measured by
`python -m tests.bench paths`.
"""

import hashlib
import json
from pathlib import Path

import pytest

from tests.services.pattern import blocks, digest
from tests.system import far_agent
from tests.system.clients import READ_BYTES, RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import DIALECT, UNDER_UVICORN, Stack
from tests.system.process import Processes

pytestmark = [
    pytest.mark.timeout(120),
    tunnel_only,
    pytest.mark.skipif(DIALECT != "yamux" or UNDER_UVICORN, reason="yamux windows, under python -m app"),
]

RTT_SECONDS = 0.05
BYTES_PER_SECOND = 1e9
SIZE_BYTES = 100_000_000
ENOUGH_BYTES = 60_000_000
INITIAL = 262_144
LARGEST = 16 * 1024 * 1024


def start(processes: Processes, folder: Path, *, existing: bool = False) -> tuple[Stack, far_agent.FarAgent]:
    stack = Stack(folder, processes)
    stack.add_program("plain", "tests.services.plain")
    return stack, far_agent.start(stack, folder, rtt=RTT_SECONDS, rate=BYTES_PER_SECOND, existing=existing)


@pytest.mark.parametrize("existing", [False, True], ids=["our-agent", "existing-agent"])
def test_a_download_gets_a_window_that_fits(processes: Processes, tmp_path: Path, existing: bool) -> None:
    stack, far = start(processes, tmp_path, existing=existing)
    with RawClient(stack.address("plain")) as client:
        client.request(f"GET /download?size={SIZE_BYTES} HTTP/1.1", "plain")
        client.answer_head()
        sha256, received, seen = hashlib.sha256(client.buffer), len(client.buffer), 0
        while piece := client.socket.recv(READ_BYTES) if received < SIZE_BYTES else b"":
            sha256.update(piece)
            received += len(piece)
            if received >= ENOUGH_BYTES and not seen:
                seen = far.window("gateway")
    assert received == SIZE_BYTES
    assert 4 * INITIAL <= seen <= LARGEST
    assert sha256.hexdigest() == digest(SIZE_BYTES)


def test_an_upload_gets_a_window_that_fits(processes: Processes, tmp_path: Path) -> None:
    stack, far = start(processes, tmp_path)
    with RawClient(stack.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", f"Content-Length: {SIZE_BYTES}")
        sent, seen = 0, 0
        for block in blocks(SIZE_BYTES):
            client.send(block)
            sent += len(block)
            if sent >= ENOUGH_BYTES and not seen:
                seen = far.window("agent")
        answer = client.answer()
    assert 4 * INITIAL <= seen <= LARGEST
    assert json.loads(answer.body)["sha256"] == digest(SIZE_BYTES)

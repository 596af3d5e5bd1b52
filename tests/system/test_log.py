"""The log of a real gateway: no line is lost at the end, and a pipe that nobody reads holds up no request."""

import asyncio
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.system.clients import RawClient, http_client
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DIALECT, LOOPBACK, Stack, free_port
from tests.system.process import END_SECONDS, ROOT, START_SECONDS, Processes, wait_until
from tests.system.test_drain import EventStream, line_number, make

__all__ = ["make"]  # the fixture

pytestmark = [pytest.mark.anyio, tunnel_only]

Make = Callable[..., Stack]
REQUESTS = 300
FLOOD = 500
"""Requests between two looks at the metric."""
PIPELINED = 25
"""Of them, at once on the connection."""
WIDE_BYTES = 1024 * 1024
DROPPED = re.compile(r"(\d+) lines of the log were dropped: standard error did not take them")
ACCESS = re.compile(r"gateway\.access +GET \S+/small (\d+) in ")


@app_only("it stops in its own way")
async def test_every_request_has_its_line_when_the_process_was_stopped(make: Make) -> None:
    stack = make()
    async with http_client(limit=30) as http:

        async def ask(number: int) -> str:
            async with http.get(stack.url("plain", f"/small?n={number}")) as answer:
                assert answer.status == 200
                await answer.read()  # a client that does not take it all leaves, and its line says so
                return answer.headers["X-Request-ID"]

        asked = await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
        stack.gateway.signal(signal.SIGTERM)
        assert await asyncio.to_thread(stack.gateway.wait_end) == 0
    lines = [line for line in stack.gateway.output() if ACCESS.search(line)]
    assert sorted(line.rpartition(" id ")[2] for line in lines) == sorted(asked)
    last = max(number for number, line in enumerate(stack.gateway.output()) if ACCESS.search(line))
    if DIALECT == "yamux":  # elsewhere an answer's end is a message of its own, and its client had all before it
        assert last < line_number(stack.gateway, "SIGTERM: stopping")


@app_only("it stops in its own way")
def test_what_was_broken_off_at_the_very_end_has_its_line(make: Make) -> None:
    stack = make(shutdown_grace=60.0)
    with EventStream(stack, "endless") as stream:
        stack.gateway.signal(signal.SIGTERM)
        stack.gateway.wait_line("draining: 1 exchanges")
        stream.push("waited-for")
        stack.gateway.signal(signal.SIGTERM)
        assert stack.gateway.wait_end() == 0
    ended = line_number(stack.gateway, "gateway.access", "/sse", "bytes up")
    assert line_number(stack.gateway, "second signal: stopping at once") < ended


class Unread:
    """A gateway whose standard error is a pipe of one page, which nobody reads until `read_on`."""

    def __init__(self, stack: Stack, admin_port: int) -> None:
        self._stack = stack
        self._admin_port = admin_port
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, select.PIPE_BUF)
        config = ["--config", str(stack.write_config()), "--host", LOOPBACK, "--port", str(stack.port)]
        try:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "app", *config], cwd=ROOT, stderr=writer, start_new_session=True
            )
        finally:
            os.close(writer)

    def dropped(self) -> int:
        with urlopen(f"http://{LOOPBACK}:{self._admin_port}/metrics") as answer:
            families = parse_text(answer.read().decode())
        (value,) = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "gateway_log_lines_dropped_total"
        ]
        return int(value)

    def listens(self) -> bool:
        try:
            with urlopen(f"http://{LOOPBACK}:{self._admin_port}/metrics"):
                return True
        except OSError:
            return False

    def read_until(self, mark: bytes) -> list[str]:
        """The lines up to the one with `mark`, by a wide pipe: of a full one the gateway tries again each 50 ms."""
        fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, WIDE_BYTES)
        got = b""
        while mark not in got or not got.endswith(b"\n"):
            piece = os.read(self.reader, 65_536)
            assert piece, "the gateway ended"
            got += piece
        return got.decode().splitlines()

    def close(self) -> None:
        os.close(self.reader)
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(END_SECONDS)
        finally:
            self.popen.kill()
            self.popen.wait()


def test_a_pipe_that_nobody_reads_holds_up_no_request(tmp_path: Path, processes: Processes) -> None:
    admin_port = free_port()
    stack = Stack(tmp_path, processes, {"admin_bind": f"{LOOPBACK}:{admin_port}", "log_format": "json"})
    plain = stack.add_program("plain", "tests.services.plain")
    gateway = Unread(stack, admin_port)
    try:
        wait_until(gateway.listens, START_SECONDS, "the gateway listens")
        stack.start_agent()
        client = RawClient((LOOPBACK, stack.port))
        sent, path = 0, "/echo/" + "x" * 500  # so that the lines are long
        request = f"GET {path} HTTP/1.1\r\nHost: {plain.host}\r\n\r\n".encode()
        while gateway.dropped() < FLOOD:
            for _ in range(FLOOD // PIPELINED):
                client.send(request * PIPELINED)
                answers = [client.answer() for _ in range(PIPELINED)]
                assert {(answer.status, path.encode() in answer.body) for answer in answers} == {(200, True)}
            sent += FLOOD
        dropped = gateway.dropped()
        lines = [json.loads(line) for line in gateway.read_until(b"were dropped")]  # each of them whole
        (told,) = [int(found[1]) for line in lines if (found := DROPPED.fullmatch(line["message"]))]
        assert told == dropped == gateway.dropped()
        written = [line for line in lines if line["logger"] == "gateway.access"]
        assert len(written) + dropped == sent
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        assert client.answer().status == 200
        assert [json.loads(line)["path"] for line in gateway.read_until(b'"path":"/small"')] == ["/small"]
        client.socket.close()
    finally:
        gateway.close()
    assert gateway.popen.returncode == 0

"""How the program ends whose output cannot be written, or that is interrupted: without a traceback."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.gateway import SECONDS
from tests.system.process import ROOT

pytestmark = pytest.mark.system

AGENT = [sys.executable, "-m", "tunnel.agent"]
FULL = "tunnel-agent: the output cannot be written: No space left on device\n"
PRINT = [["--help"], ["--version"], ["http", "--help"], ["logout"]]


def environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AGENT_")}
    return kept | {"HOME": str(home), "XDG_CONFIG_HOME": ""}


@pytest.mark.parametrize("words", PRINT)
def test_a_full_output(words: list[str], tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*AGENT, *words], cwd=ROOT, env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr.decode()) == (1, FULL)


@pytest.mark.parametrize("words", PRINT[:1])
def test_a_reader_who_left(words: list[str], tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*AGENT, *words], cwd=ROOT, env=environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("closed", "status"), [(">&-", 0), ("<&- >&- 2>&-", 0)])
def test_standard_streams_that_are_closed(closed: str, status: int, tmp_path: Path):
    """uvloop aborts a process whose loop got one of their numbers."""
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        url = f"ws://127.0.0.1:{gateway.getsockname()[1]}/agent"
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", *AGENT, "http", "80", "--gateway", url, "--token", "t"]
        with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stderr=subprocess.PIPE) as process:
            gateway.settimeout(SECONDS)
            with gateway.accept()[0]:
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == status
    assert b"Assertion" not in said


def test_ctrl_c_while_a_token_is_tried(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        url = f"http://127.0.0.1:{gateway.getsockname()[1]}"
        process = subprocess.Popen(
            [*AGENT, "login", "--gateway", url],
            cwd=ROOT,
            env=environment(tmp_path),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stdin is not None
            process.stdin.write(b"hush-hush")
            process.stdin.close()
            gateway.settimeout(SECONDS)
            with gateway.accept()[0]:
                process.send_signal(signal.SIGINT)
                assert process.wait(SECONDS) in {130, -signal.SIGINT}
                assert process.stderr is not None
                assert process.stderr.read().strip() == b""
    assert list(tmp_path.iterdir()) == []

"""A FastAPI project with a package `app` of its own mounts the gateway from the wheel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.environment import Environment
from tests.packaging.test_programs import CLEAN, carries, start_agent
from tests.system.clients import RawClient
from tests.system.harness import LOOPBACK, Stack

pytestmark = pytest.mark.anyio

SOURCE = Path(__file__).with_name("project")
WRONG = """\
from tunnel.agent.settings import read
from tunnel_gateway.main import create_app

create_app("gateway.toml")
read("--help", {}, 5)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


async def test_it_mounts_the_gateway_and_carries(installed: Environment, stack: Stack, project: Path) -> None:
    command = [installed.program("python"), "-m", "uvicorn", "app.main:app", "--no-proxy-headers"]
    command += ["--host", LOOPBACK, "--port", str(stack.port)]
    server = stack.processes.start("project", command, CLEAN | {"GATEWAY_CONFIG": str(stack.write_config())}, project)
    server.wait_line("Uvicorn running on")
    start_agent(installed, stack)
    await carries(stack)
    with RawClient((LOOPBACK, stack.port)) as client:
        client.request("GET /hello HTTP/1.1", "plain")
        assert json.loads(client.answer().body) == {"said": "hello project"}
    server.ask_to_stop()
    server.wait_end()
    assert "Traceback" not in "\n".join(server.output())


def mypy(environment: Environment, folder: Path, *paths: str) -> str:
    pytest.importorskip("mypy", reason="mypy is not installed: it is in the dev extra")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--no-color-output"]
    command += ["--python-executable", environment.program("python"), "--cache-dir", str(folder / "cache"), *paths]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False).stdout


def test_strict_mypy_sees_the_types_of_the_wheel(installed: Environment, project: Path) -> None:
    """It finds what is wrong in the one file, and nothing else in the project."""
    (project / "wrong.py").write_text(WRONG, encoding="utf-8")
    one, other, end = mypy(installed, project, "app", "wrong.py").splitlines()
    assert one.startswith('wrong.py:4: error: Argument 1 to "create_app" has incompatible type "str"')
    assert other.startswith('wrong.py:5: error: Argument 3 to "read" has incompatible type "int"; expected "str"')
    assert end == "Found 2 errors in 1 file (checked 5 source files)"

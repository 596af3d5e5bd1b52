"""Autobahn's WebSocket suite through the tunnel: no case ends worse than with the service alone.

247 cases: all but the speed of large messages and compression, which take too long. Of these 9.*, 12.1.* and 13.1.*
ended as with the service alone when they were run, over yamux and with a `max_message_bytes` of 64 MiB. The suite runs
on Python 2.7 only; where there is none, its cases about frames, pings, fragments, UTF-8 and closing are those of
`tests/tunnel/websocket/` and `tests/system/test_websocket.py`.
"""

import functools
import json
import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.system.applications import WHOLE, cache_folder, locked
from tests.system.conftest import tunnel_only
from tests.system.harness import DOMAIN, LOOPBACK, Service, Stack
from tests.system.process import Processes
from tests.system.servers import APP, SERVERS, UVICORN

pytestmark = [tunnel_only, pytest.mark.slow]

REQUIREMENTS = Path(__file__).with_name("autobahn_requirements.txt")
LEFT_OUT = ["9.*", "12.*", "13.*"]
CASES = 247
HARM: defaultdict[str, int] = defaultdict(lambda: 1, {"OK": 0, "NON-STRICT": 0, "INFORMATIONAL": 0})
"""Of an outcome; what is not listed is a failure. Whether a case ends strictly is a matter of timing."""
INSTALL_SECONDS = 300
RUN_SECONDS = 240
CLIENT = """
import site
import socket
import sys

site.addsitedir(sys.argv.pop(1))
find = socket.getaddrinfo
socket.getaddrinfo = lambda name, *rest: find({loopback!r} if name.endswith({domain!r}) else name, *rest)

from autobahntestsuite import wstest

wstest.run()
"""
"""The suite's program, for which the hosts of the tests are on loopback."""

Outcomes = dict[str, tuple[str, str]]
"""By case: of its messages, and of its close."""


@functools.cache
def python27() -> str:
    """The path of a Python 2.7 that starts. Skips where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for program in (shutil.which("python2.7"), shutil.which("python2"), *pyenv.glob("versions/2.7*/bin/python2.7")):
        if program is None:
            continue
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and "Python 2.7" in said.stdout + said.stderr:
            return str(program)
    pytest.skip("Python 2.7 is not installed, and Autobahn's suite has no version for another")


@functools.cache
def suite() -> Path:
    """The folder with the suite. Skips where it cannot be had."""
    python = python27()
    folder = cache_folder() / "autobahn-25.10.1"
    with locked(cache_folder() / "autobahn.lock"):
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run(
                [python, "-m", "pip", "install", "-q", "--require-hashes", "--target", str(folder), "-r", REQUIREMENTS],
                capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(f"the suite's packages cannot be had: {done.stderr.strip()[-500:]}")
            (folder / WHOLE).touch()
    return folder


def outcomes(folder: Path, url: str) -> Outcomes:
    """Of all cases against this server."""
    packages = suite()
    spec = {"outdir": "out", "servers": [{"agent": "a", "url": url}], "cases": ["*"], "exclude-cases": LEFT_OUT}
    (folder / "spec.json").write_text(json.dumps(spec | {"exclude-agent-cases": {}}))
    client = CLIENT.format(loopback=LOOPBACK, domain=DOMAIN)
    subprocess.run(
        [python27(), "-c", client, str(packages), "-m", "fuzzingclient", "-s", "spec.json"],
        cwd=folder, capture_output=True, timeout=RUN_SECONDS, check=True,
    )  # fmt: skip
    found = json.loads((folder / "out" / "index.json").read_text())["a"]
    return {case: (outcome["behavior"], outcome["behaviorClose"]) for case, outcome in found.items()}


@pytest.fixture(scope="module")
def service(module_processes: Processes) -> Service:
    program = module_processes.python("websocket", "tests.services.websocket")
    return Service("websocket", int(program.wait_line("ready ").split()[-1]))


@pytest.fixture(scope="module")
def direct(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Of the service alone."""
    return outcomes(tmp_path_factory.mktemp("direct"), f"ws://{LOOPBACK}:{service.port}/echo")


@pytest.mark.timeout(2 * RUN_SECONDS + INSTALL_SECONDS)
@pytest.mark.parametrize(("server", "dialect"), [(APP, "yamux"), (APP, "json"), (APP, "chunk"), (UVICORN, "yamux")])
def test_no_case_ends_worse_than_with_the_service_alone(
    server: str, dialect: str, service: Service, direct: Outcomes, processes: Processes, tmp_path: Path
) -> None:
    stack = Stack(tmp_path, processes)
    stack.dialect = dialect
    stack.add(service)
    SERVERS[server](stack)
    stack.start_agent()
    found = outcomes(tmp_path, f"ws://{service.host}:{stack.port}/echo")
    assert len(direct) == len(found) == CASES
    worse = {
        case: (alone, found[case])
        for case, alone in direct.items()
        if any(HARM[now] > HARM[before] for before, now in zip(alone, found[case], strict=True))
    }
    assert worse == {}

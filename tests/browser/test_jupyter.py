"""JupyterLab: a notebook is opened and a cell is run, over the WebSocket to its kernel."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import Publish, Visit
from tests.system.applications import WHOLE, cache_folder, locked
from tests.system.harness import free_port
from tests.system.process import Processes

REQUIREMENTS = Path(__file__).with_name("jupyterlab_requirements.txt")
INSTALL_SECONDS = 300
TOKEN = "token-of-the-notebook"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL = {
    "cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [],
    "source": ["print(6 * 7, 'from the kernel')"],
}  # fmt: skip
NOTEBOOK = {"cells": [CELL], "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def jupyterlab() -> Path:
    """A folder with JupyterLab and what the environment of the tests lacks for it."""
    folder = cache_folder() / f"jupyterlab-{sys.version_info.major}.{sys.version_info.minor}"
    with locked(cache_folder() / "jupyterlab.lock"):
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "--target", str(folder),
                 "-r", str(REQUIREMENTS)],
                capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                pytest.skip(f"JupyterLab cannot be had: {done.stderr.strip()[-500:]}")
            (folder / WHOLE).touch()
    return folder


def test_a_cell_runs(processes: Processes, jupyterlab: Path, publish: Publish, visit: Visit, tmp_path: Path) -> None:
    home, port = tmp_path / "notebooks", free_port()
    home.mkdir()
    (home / "note.ipynb").write_text(json.dumps(NOTEBOOK))
    processes.python(
        "jupyterlab", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home}",
        f"--LabApp.app_dir={jupyterlab / 'share/jupyter/lab'}", PYTHONPATH=str(jupyterlab), HOME=str(home),
        IPYTHONDIR=str(home), JUPYTER_CONFIG_DIR=str(home), JUPYTER_DATA_DIR=str(home),
    ).wait_port(port)  # fmt: skip
    page = visit("jupyter_page.js", f"{publish('jupyter', port)}lab/tree/note.ipynb?token={TOKEN}")
    page.wait_line("page: shows the output", "failed:", seconds=120)
    assert page.wait_end() == 0

"""JupyterLab: a notebook is opened and a cell is run, over the WebSocket to its kernel."""

import json
from pathlib import Path

import pytest

from tests.browser.conftest import Publish, Visit
from tests.system.applications import from_pip
from tests.system.harness import free_port
from tests.system.process import Processes

REQUIREMENTS = Path(__file__).with_name("jupyterlab_requirements.txt")
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
    return from_pip("jupyterlab", REQUIREMENTS, "--no-deps")


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

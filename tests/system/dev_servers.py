"""Development servers that others wrote, with the defaults of who starts them: no setting names a public host.

Packages are kept as those of `applications.py` are. Each server works in a copy of its folder in `dev_apps/`.
"""

import functools
import shutil
import sys
from pathlib import Path

from tests.system.applications import from_npm, from_pip, node
from tests.system.harness import free_port
from tests.system.process import Processes

APPS = Path(__file__).parent / "dev_apps"
COMPILE_SECONDS = 120


@functools.cache
def packages(name: str) -> Path:
    """The `node_modules` of this application, installed from its lock file."""
    node()
    # `ci` refuses Vite's lock file: it lacks an optional package that nobody can get.
    return from_npm(APPS / name, "install") / "node_modules"


@functools.cache
def django_packages() -> Path:
    """The folder with Django. Skips where it cannot be had."""
    return from_pip("django", APPS / "django" / "requirements.txt")


def copied(name: str, folder: Path) -> Path:
    """A copy of the application's own files. Its packages are linked into it."""
    work = folder / name
    shutil.copytree(APPS / name, work)
    if (work / "package.json").exists():
        (work / "node_modules").symlink_to(packages(name))
    return work


def start_vite(processes: Processes, folder: Path, *options: str) -> tuple[Path, int]:
    """Its folder and its port."""
    work, port = copied("vite", folder), free_port()
    program = str(work / "node_modules" / "vite" / "bin" / "vite.js")
    command = [node(), program, "--host", "127.0.0.1", "--port", str(port), "--strictPort", *options]
    processes.start("vite", command, cwd=work).wait_line("ready in")
    return work, port


def start_webpack(processes: Processes, folder: Path) -> int:
    """Its port."""
    work, port = copied("webpack", folder), free_port()
    program = str(work / "node_modules" / "webpack" / "bin" / "webpack.js")
    command = [node(), program, "serve", "--entry", "./main.js", "--mode", "development", "--host", "127.0.0.1",
               "--port", str(port)]  # fmt: skip
    processes.start("webpack", command, cwd=work).wait_line("compiled", seconds=COMPILE_SECONDS)
    return port


def start_next(processes: Processes, folder: Path) -> int:
    """Its port."""
    work, port = copied("next", folder), free_port()
    program = str(work / "node_modules" / "next" / "dist" / "bin" / "next")
    command = [node(), program, "dev", "--webpack", "--hostname", "localhost", "--port", str(port)]
    environment = {"NEXT_TELEMETRY_DISABLED": "1"}
    processes.start("next", command, environment, cwd=work).wait_line("Ready in", seconds=COMPILE_SECONDS)
    return port


def start_django(processes: Processes) -> int:
    """Its port."""
    packages, port = django_packages(), free_port()
    command = [sys.executable, str(APPS / "django" / "project.py"), "runserver", "--noreload", f"127.0.0.1:{port}"]
    processes.start("django", command, {"PYTHONPATH": str(packages)}).wait_port(port)
    return port

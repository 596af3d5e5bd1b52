"""A virtual environment as a user of the wheel has it, made without a download.

What pip would fetch is borrowed: links into the site-packages of the interpreter that runs the tests, one for each
requirement of the lock, so that a module that only the dev extra brings is not found. pip then installs the wheel with
`--no-index`, and fails if a requirement of it is missing. Programs run outside the checkout.
"""

import os
import re
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement


class Environment:
    """One virtual environment, and a folder outside the checkout to run its programs in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "venv"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        venv.create(self.folder, symlinks=os.name != "nt")
        (self.site_packages,) = self.folder.glob("lib/python*/site-packages")

    def program(self, name: str) -> str:
        """The path of a program of the environment."""
        return str(self.folder / "bin" / name)

    def borrow_locked(self, lock: Path) -> None:
        """Make the packages of a lock available."""
        for line in re.findall(r"^[a-z0-9].*?(?= \\$)", lock.read_text(encoding="utf-8"), re.MULTILINE):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                self._link(requirement.name)

    def borrow(self, name: str) -> None:
        """Make a package available, with all that it requires."""
        if self._link(name):
            for line in metadata.requires(name) or ():
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    self.borrow(requirement.name)

    def _link(self, name: str) -> bool:
        """Link to the files of one distribution; False if that was done before."""
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed: make test does that, from requirements-dev.txt")
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        new = [top for top in tops if not (self.site_packages / top).is_symlink()]
        for top in new:
            (self.site_packages / top).symlink_to(str(distribution.locate_file(top)))
        return bool(new)

    def install(self, *arguments: str) -> None:
        """`pip install`, which downloads nothing. Raises CalledProcessError."""
        self.pip("install", "--quiet", "--no-index", "--no-build-isolation", *arguments)

    def pip(self, *arguments: str) -> None:
        """A command of the tests' pip, on this environment. Raises CalledProcessError."""
        pytest.importorskip("pip", reason="pip is not installed in the environment of the tests")
        command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
        self.check([*command, "--python", self.program("python"), *arguments])

    def run(self, name: str, *arguments: str) -> str:
        """What a program of the environment prints, run outside the checkout. Raises CalledProcessError."""
        return self.check([self.program(name), *arguments]).strip()

    def check(self, command: list[str]) -> str:
        """The standard output of a command that must succeed; the rest goes to the report of the test."""
        ran = subprocess.run(
            command, cwd=self.elsewhere, env=variables(), stdout=subprocess.PIPE, text=True, check=True
        )
        return ran.stdout


def variables() -> dict[str, str]:
    """The variables of this process, without those that would lead a program into the checkout or configure it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME") and not name.startswith(("GATEWAY_", "AGENT_"))
    }

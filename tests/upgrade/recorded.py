"""The files beside this one, as the tests read them; nothing here writes to them."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "files"
KEPT = Path(__file__).parent / "kept"


def lines(path: Path) -> list[str]:
    """The lines of a list, without comments and empty ones."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def variables(name: str) -> dict[str, str]:
    """An environment of `NAME=value` lines."""
    return dict(line.split("=", 1) for line in lines(FILES / name))


def command_lines(program: str) -> list[list[str]]:
    """The arguments of each recorded call of a program."""
    called = [shlex.split(line) for line in lines(FILES / "command-lines.txt")]
    return [arguments[1:] for arguments in called if arguments[0] == program]


def objects(path: Path) -> list[dict[str, Any]]:
    """A list of JSON objects, one per line."""
    return [json.loads(line) for line in lines(path)]


def copied(folder: Path, *, without: str | None = None) -> Path:
    """The gateway's files in a folder of the test's own, with the state file in its place; the configuration's path.

    `without`: a key whose lines are left out.
    """
    for name in ("gateway.toml", "agent-token", "admin-token", "ca.pem"):
        shutil.copy(FILES / name, folder)
    state = folder / "state"
    state.mkdir()
    shutil.copy(FILES / "learned-routes.sqlite3", state)
    config = folder / "gateway.toml"
    if without is not None:
        text = config.read_text(encoding="utf-8").splitlines(keepends=True)
        config.write_text("".join(line for line in text if not line.startswith(f"{without} =")), encoding="utf-8")
    return config

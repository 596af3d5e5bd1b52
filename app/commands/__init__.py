"""The command line, `tunnel-gateway`: one file for each command, loaded when it is used.

`serve`, `check` and `token` work on this machine. The others are clients: they ask a running gateway through its
operator's API (`gateway.py`), and print its JSON or a table (`tables.py`). No client imports the server: nothing of
starlette, uvicorn or prometheus_client, which a test checks for each command in a fresh interpreter.

A command is a function that prints and returns its exit status, or raises `CommandError` (`statuses.py`). `program.py`
puts them together, and turns every failure into lines on standard error. Tokens are never arguments, because everybody
on the machine can read a command line.
"""

from .program import PROGRAM, run
from .terminal import NAME

__all__ = ["NAME", "PROGRAM", "run"]
